// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The cases of both bundles, judged by both.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::{Decision, Effect, Facts};
use crate::replay::{Change, changes};

use super::super::cases::{self, Expectations, Outcome};
use super::side::Side;

/// A case that comes out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseChange {
    /// Its name.
    pub name: String,
    /// Its file, relative to the bundle that it is in.
    pub file: String,
    /// Its line, counted from 1.
    pub line: usize,
    /// What changes.
    pub changes: Vec<Change>,
    /// What was judged.
    pub facts: Option<Facts>,
    /// What the old bundle decides; nothing if it has not what the case speaks of.
    pub old: Option<Decision>,
    /// What the new one decides.
    pub new: Option<Decision>,
}

/// How many cases were judged, and those that come out otherwise. A case that stands in both counts once.
pub(super) fn compare(old: Side<'_>, new: Side<'_>) -> (usize, Vec<CaseChange>) {
    let mut seen = BTreeSet::new();
    let (mut count, mut changed) = (0, Vec::new());
    for side in [new, old] {
        // What is wrong with case files is told by `check`.
        let Ok(cases) = cases::read(side.policy, side.sources, Expectations::Open) else {
            continue;
        };
        let none = BTreeMap::new();
        let before = cases.judge(old.policy, &none).cases;
        let after = cases.judge(new.policy, &none).cases;
        for (before, after) in before.into_iter().zip(after) {
            let facts = after.facts.clone().or_else(|| before.facts.clone());
            let Some(facts) = facts else { continue };
            let key = (after.name.clone(), serde_json::to_string(&facts).unwrap_or_default());
            if !seen.insert(key) {
                continue;
            }
            count += 1;
            changed.extend(change(before, after, facts));
        }
    }
    // What would be let through is what a person has to see first.
    changed.sort_by_key(|change: &CaseChange| !change.changes.contains(&Change::DenyToAllow));
    (count, changed)
}

fn change(before: Outcome, after: Outcome, facts: Facts) -> Option<CaseChange> {
    let (old, new) = (before.decision, after.decision);
    let effect = |decision: &Option<Decision>| {
        decision.as_ref().map_or(Effect::Deny, |decision| decision.effect)
    };
    let changes = match (&old, &new) {
        (Some(old), Some(new)) => changes(old, new),
        _ => match (effect(&old), effect(&new)) {
            (Effect::Allow, Effect::Deny) => vec![Change::AllowToDeny],
            (Effect::Deny, Effect::Allow) => vec![Change::DenyToAllow],
            _ => Vec::new(),
        },
    };
    let (name, file, line) = (after.name, after.file, after.line);
    (!changes.is_empty()).then_some(CaseChange {
        name,
        file,
        line,
        changes,
        facts: Some(facts),
        old,
        new,
    })
}
