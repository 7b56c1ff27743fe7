// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a decision is what it is: the same evaluator, rule by rule.

use cedar_policy::{Policy as CedarPolicy, PolicyId, PolicySet, Request};
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{Decision, Facts, Mode, RuleId};

use super::Policy;
use super::question::Question;
use super::rules::Rule;

/// How a rule met the facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Scope and conditions hold.
    Matched,
    /// The scope holds, a condition does not.
    Nearly {
        /// The parts of the conditions that do not hold, as Cedar text.
        unmet: Vec<String>,
    },
    /// Its evaluation erred, which denies.
    Erred {
        /// What went wrong.
        error: String,
    },
    /// The scope names another agent, action or endpoint.
    OutOfScope,
}

/// One rule and how it met the facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleOutcome {
    /// The rule.
    pub id: RuleId,
    /// Its file, relative to the bundle.
    pub file: String,
    /// Its line, counted from 1.
    pub line: usize,
    /// True for `permit`, false for `forbid`.
    pub is_permit: bool,
    /// In observe mode it decides nothing, however it met the facts.
    pub mode: Mode,
    /// How it met the facts.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A decision and every rule's part in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The facts that were judged.
    pub facts: Facts,
    /// What [`Policy::decide`] says.
    pub decision: Decision,
    /// All rules, in the order of files and places.
    pub rules: Vec<RuleOutcome>,
}

impl Policy {
    /// Decides, and says of each rule whether it matched, nearly did, erred, or is about something else.
    #[must_use]
    pub fn explain(&self, facts: &Facts) -> Explanation {
        let question = Question::new(self, facts, None);
        let rules = self.rules.iter().map(|rule| RuleOutcome {
            id: rule.id.clone(),
            file: rule.file.clone(),
            line: rule.place.line,
            is_permit: rule.is_permit,
            mode: rule.mode,
            outcome: match question.request() {
                Some(request) if self.is_in_scope(rule, facts) => match question.holds(rule) {
                    Ok(true) => Outcome::Matched,
                    Ok(false) => Outcome::Nearly { unmet: self.unmet(rule, request) },
                    Err(error) => Outcome::Erred { error },
                },
                _ => Outcome::OutOfScope,
            },
        });
        Explanation { facts: facts.clone(), decision: self.decide(facts), rules: rules.collect() }
    }

    /// Whether a single rule of Cedar is satisfied.
    fn is_satisfied(&self, rule: &CedarPolicy, request: &Request) -> Result<bool, String> {
        let set = PolicySet::from_policies([rule.clone()]).map_err(|error| error.to_string())?;
        let response = self.authorizer.is_authorized(request, &set, &self.entities);
        match response.diagnostics().errors().next() {
            Some(error) => Err(error.to_string()),
            None => Ok(response.diagnostics().reason().next().is_some()),
        }
    }

    /// The conditions that do not hold, taken apart at `&&`.
    pub(super) fn unmet(&self, rule: &Rule, request: &Request) -> Vec<String> {
        let Ok(tree) = rule.cedar.to_json() else { return Vec::new() };
        let conditions = tree.get("conditions").and_then(Value::as_array).cloned();
        let mut unmet = Vec::new();
        for condition in conditions.unwrap_or_default() {
            let is_when = condition.get("kind").and_then(Value::as_str) == Some("when");
            let Some(body) = condition.get("body") else { continue };
            let parts = if is_when { conjuncts(body) } else { vec![body] };
            for part in parts {
                let Some(alone) = alone(part) else { continue };
                let text = condition_text(&alone);
                // `a has b && a.b` errs on the second part alone; that part is then not what is lacking.
                if let Ok(holds) = self.is_satisfied(&alone, request)
                    && holds != is_when
                {
                    unmet.push(if is_when { text } else { format!("unless {text}") });
                }
            }
        }
        unmet
    }
}

pub(super) fn conjuncts(body: &Value) -> Vec<&Value> {
    let mut open = vec![body];
    let mut parts = Vec::new();
    while let Some(part) = open.pop() {
        let operands = part.get("&&").and_then(|and| Some((and.get("left")?, and.get("right")?)));
        match operands {
            Some((left, right)) => open.extend([right, left]),
            None => parts.push(part),
        }
    }
    parts
}

/// One condition as a rule of its own.
pub(super) fn alone(body: &Value) -> Option<CedarPolicy> {
    let rule = json!({
        "effect": "permit",
        "principal": { "op": "All" },
        "action": { "op": "All" },
        "resource": { "op": "All" },
        "conditions": [{ "kind": "when", "body": body }],
    });
    CedarPolicy::from_json(Some(PolicyId::new("alone")), rule).ok()
}

pub(super) fn condition_text(alone: &CedarPolicy) -> String {
    let text = alone.to_cedar().unwrap_or_default();
    let inner = text.split_once("when").map_or(text.as_str(), |(_, rest)| rest);
    let inner = inner.trim().trim_end_matches(';').trim();
    let inner = inner.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(inner);
    inner.split_whitespace().collect::<Vec<_>>().join(" ")
}
