// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What differs in meaning between two bundles.
//!
//! Names of rules, files, order and layout mean nothing; what counts is, for each agent, endpoint and action,
//! the set of conditions, effects and obligations that apply there, and what the inventory says. Errs towards
//! telling too much: two conditions that are written differently and mean the same are told as a difference.
//! What really changes for a request is told by the cases of both bundles, and by a replay.

mod cases;
mod inventory;
mod rules;
mod side;

use serde::Serialize;

use crate::model::PolicyVersion;

pub use cases::CaseChange;
pub use inventory::InventoryChange;
pub use rules::{RuleChange, RuleText, ScopeChange, Tendency};
pub use side::Side;

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Version of the old bundle.
    pub old: PolicyVersion,
    /// Version of the new one.
    pub new: PolicyVersion,
    /// What the inventory says otherwise, by key.
    pub inventory: Vec<InventoryChange>,
    /// Where other rules apply; one entry for all agents, endpoints and actions with the same change.
    pub scopes: Vec<ScopeChange>,
    /// Cases of the two bundles that were judged by both.
    pub cases_judged: usize,
    /// Those that come out otherwise.
    pub cases: Vec<CaseChange>,
}

impl Difference {
    /// Whether the two bundles mean the same, as far as can be told.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.inventory.is_empty() && self.scopes.is_empty() && self.cases.is_empty()
    }
}

/// Compares two bundles.
#[must_use]
pub fn compare(old: Side<'_>, new: Side<'_>) -> Difference {
    let (cases_judged, cases) = cases::compare(old, new);
    Difference {
        old: old.policy.version().clone(),
        new: new.policy.version().clone(),
        inventory: inventory::compare(old.sources, new.sources),
        scopes: rules::compare(old.policy, new.policy),
        cases_judged,
        cases,
    }
}
