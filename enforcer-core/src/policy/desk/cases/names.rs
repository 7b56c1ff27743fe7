// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The names that a case may use. Where the bundle is broken it is not always known which there are; then any may be
//! right, and none is reported.

use std::collections::BTreeSet;

use super::super::super::decide::policy::Policy;
use super::super::super::load::inventory::Tls;
use super::super::super::load::inventory::{Inventory, Named};

/// Names of one kind; nothing if some of them may be missing.
pub(super) type Known = Option<BTreeSet<String>>;

/// What a bundle names.
#[derive(Debug)]
pub(in crate::policy) struct Names<'n> {
    inventory: &'n Inventory,
    rules: Option<&'n BTreeSet<String>>,
}

impl<'n> Names<'n> {
    /// The names of an inventory, and the ids of the rules, if all of them are known.
    pub(in crate::policy) const fn new(
        inventory: &'n Inventory,
        rules: Option<&'n BTreeSet<String>>,
    ) -> Self {
        Self { inventory, rules }
    }

    pub(super) fn rules(&self) -> Known {
        self.rules.cloned()
    }

    pub(super) fn of(&self, named: Named) -> Known {
        let Inventory { agents, endpoints, masks, budgets, approvals, credentials, .. } =
            self.inventory;
        let all: BTreeSet<String> = match named {
            Named::Agents => agents.keys().map(ToString::to_string).collect(),
            Named::Approvals => approvals.keys().map(ToString::to_string).collect(),
            Named::Budgets => budgets.keys().map(ToString::to_string).collect(),
            Named::Credentials => credentials.keys().map(ToString::to_string).collect(),
            Named::Detectors => {
                self.inventory.detector_names().iter().map(ToString::to_string).collect()
            }
            Named::Endpoints => endpoints.iter().map(|found| found.name.to_string()).collect(),
            Named::Groups => self.inventory.groups.clone(),
            Named::Masks => masks.keys().map(ToString::to_string).collect(),
        };
        self.inventory.has_all(named).then_some(all)
    }

    /// Whether an endpoint is known to be passed through, so that no request on it is ever seen.
    pub(super) fn is_passed_through(&self, endpoint: &str) -> bool {
        let mut all = self.inventory.endpoints.iter();
        let is_known = self.inventory.has_all(Named::Endpoints);
        is_known
            && all.any(|found| found.name.as_str() == endpoint && found.tls == Tls::Passthrough)
    }
}

/// The ids of the rules of a policy.
pub(super) fn rule_ids(policy: &Policy) -> BTreeSet<String> {
    policy.rule_ids().map(ToString::to_string).collect()
}
