// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Facts that rules are asked about. Data path, explanation and coverage ask the same way.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use cedar_policy::{EvalResult, Request, eval_expression};

use crate::model::Facts;

use super::super::load::rules::Rule;
use super::policy::Policy;

/// Facts, and the request that Cedar sees of them: made when the first rule needs it.
#[derive(Debug)]
pub(in crate::policy) struct Question<'q> {
    policy: &'q Policy,
    facts: &'q Facts,
    /// The facts that count; all of them if nothing is said.
    read: Option<&'q BTreeSet<String>>,
    request: OnceCell<Option<Request>>,
}

impl<'q> Question<'q> {
    pub(in crate::policy) const fn new(
        policy: &'q Policy,
        facts: &'q Facts,
        read: Option<&'q BTreeSet<String>>,
    ) -> Self {
        Self { policy, facts, read, request: OnceCell::new() }
    }

    /// The request as Cedar sees it; nothing for an agent or endpoint that is not in the inventory.
    pub(in crate::policy) fn request(&self) -> Option<&Request> {
        self.request.get_or_init(|| self.policy.request(self.facts, self.read)).as_ref()
    }

    /// Whether the conditions of a rule hold, whose scope admits the facts.
    pub(in crate::policy) fn holds(&self, rule: &Rule) -> Result<bool, String> {
        if let Some(holds) = rule.plain.holds(self.facts) {
            return Ok(holds);
        }
        let Some(condition) = &rule.condition else { return Ok(true) };
        let request = self.request().ok_or("Cedar does not take the facts")?;
        match eval_expression(request, &self.policy.entities, condition) {
            Ok(EvalResult::Bool(holds)) => Ok(holds),
            Ok(_no_answer) => Err("the condition is neither true nor false".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}
