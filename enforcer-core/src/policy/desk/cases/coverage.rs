// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which rules the cases of a bundle reach: a rule is reached by a case in which it matches.

use serde::Serialize;

use crate::model::{Facts, RuleId};

use super::super::super::decide::policy::Policy;
use super::super::super::decide::question::Question;
use super::outcome::Outcome;

/// How much of a bundle its cases try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Rules of the bundle.
    pub rules: usize,
    /// Those that match in no case, in the order of files and places.
    pub unreached: Vec<Unreached>,
}

/// A rule that matches in no case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreached {
    /// The rule.
    pub id: RuleId,
    /// Its file, relative to the bundle.
    pub file: String,
    /// Its line, counted from 1.
    pub line: usize,
    /// The case that comes closest, and what it lacks; none if no case is in the scope of the rule.
    pub nearest: Option<Nearest>,
}

/// A case that nearly reaches a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nearest {
    /// Its name.
    pub case: String,
    /// The conditions that do not hold in it.
    pub unmet: Vec<String>,
}

impl Coverage {
    /// Whether every rule is reached.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.unreached.is_empty()
    }
}

/// Cases that are looked at for what they lack of one rule.
const NEAR_CASES_MAX: usize = 16;

pub(super) fn of(policy: &Policy, cases: &[Outcome]) -> Coverage {
    let judged: Vec<(&Outcome, &Facts, Question<'_>)> = cases
        .iter()
        .filter_map(|case| Some((case, case.facts.as_ref()?)))
        .map(|(case, facts)| (case, facts, Question::new(policy, facts, None)))
        .collect();
    let unreached = policy.rules.iter().filter_map(|rule| {
        let (mut nearest, mut looked) = (None::<Nearest>, 0);
        for (case, facts, question) in &judged {
            let request = question.request().filter(|_| policy.is_in_scope(rule, facts));
            let Some(request) = request else { continue };
            if question.holds(rule) == Ok(true) {
                return None;
            }
            looked += 1;
            if looked <= NEAR_CASES_MAX {
                let unmet = policy.unmet(rule, request);
                let is_nearer = nearest.as_ref().is_none_or(|near| near.unmet.len() > unmet.len());
                if is_nearer {
                    nearest = Some(Nearest { case: case.name.clone(), unmet });
                }
            }
        }
        let (id, file, line) = (rule.id.clone(), rule.file.clone(), rule.place.line);
        Some(Unreached { id, file, line, nearest })
    });
    Coverage { rules: policy.rules.len(), unreached: unreached.collect() }
}
