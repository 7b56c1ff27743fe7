// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Single rules and single detectors, ready to be timed by somebody who has a clock.

use cedar_policy::{PolicySet, Request};

use crate::mask::DetectorSet;
use crate::model::{DetectorName, Facts, RuleId};

use super::super::decide::policy::Policy;
use super::super::load::rules::Rule;

/// All rules and detectors of a policy, each alone.
#[derive(Debug)]
pub struct Probe<'p> {
    policy: &'p Policy,
    rules: Vec<(&'p Rule, PolicySet)>,
    detectors: Vec<(DetectorName, DetectorSet)>,
}

/// One rule and facts that are in its scope.
#[derive(Debug)]
pub struct Trial<'t> {
    probe: &'t Probe<'t>,
    rule: &'t PolicySet,
    request: Request,
}

impl Policy {
    /// Takes the policy apart.
    ///
    /// # Errors
    /// In words, if a rule or a detector does not stand alone.
    pub fn probe(&self) -> Result<Probe<'_>, String> {
        let mut rules = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            let alone = PolicySet::from_policies([rule.cedar.clone()]);
            rules.push((rule, alone.map_err(|error| error.to_string())?));
        }
        let mut detectors = Vec::new();
        for name in self.detector_names() {
            let spec = self.inventory.spec(&name).into_iter().collect();
            let set = DetectorSet::compile(spec).map_err(|error| error.to_string())?;
            detectors.push((name, set));
        }
        Ok(Probe { policy: self, rules, detectors })
    }
}

impl Probe<'_> {
    /// The rules, in the order of files and places.
    pub fn rules(&self) -> impl Iterator<Item = &RuleId> {
        self.rules.iter().map(|(rule, _)| &rule.id)
    }

    /// The detectors.
    pub fn detectors(&self) -> impl Iterator<Item = &(DetectorName, DetectorSet)> {
        self.detectors.iter()
    }

    /// A rule with each of the facts that are in its scope.
    pub fn trials<'t>(&'t self, id: &RuleId, all: &[Facts]) -> Vec<Trial<'t>> {
        let found = self.rules.iter().find(|(rule, _)| rule.id == *id);
        let Some((rule, set)) = found else { return Vec::new() };
        let in_scope = all.iter().filter(|facts| self.policy.is_in_scope(rule, facts));
        let requests = in_scope.filter_map(|facts| self.policy.request(facts, None));
        requests.map(|request| Trial { probe: self, rule: set, request }).collect()
    }
}

impl Trial<'_> {
    /// Evaluates the rule once; true if it holds.
    #[must_use]
    pub fn run(&self) -> bool {
        let policy = self.probe.policy;
        let answer = policy.authorizer.is_authorized(&self.request, self.rule, &policy.entities);
        answer.diagnostics().reason().next().is_some()
    }
}
