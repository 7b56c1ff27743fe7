// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a decision is what it is: the same evaluator, rule by rule.

use cedar_policy::{Policy as CedarPolicy, PolicyId, PolicySet, Request};
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::{Decision, Effect, Facts, Mode, RuleId};

use super::super::load::rules::Rule;
use super::comparison::conjuncts;
use super::policy::Policy;
use super::question::Question;

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
    /// The scope names something else.
    OutOfScope {
        /// What is not the same; never empty.
        other: Vec<Part>,
    },
}

/// A part of a rule's scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Who asks.
    Agent,
    /// What is asked.
    Action,
    /// Where to.
    Endpoint,
}

impl Part {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Action => "action",
            Self::Endpoint => "endpoint",
        }
    }
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
        let calls: Vec<Facts> = facts.calls.iter().map(|call| facts.of_call(call)).collect();
        let calls: Vec<(&Facts, Question<'_>)> =
            calls.iter().map(|facts| (facts, Question::new(self, facts, None))).collect();
        let question = Question::new(self, facts, None);
        let outcome = |rule| {
            let calls = calls.iter().map(|(facts, question)| self.outcome(rule, facts, question));
            calls.fold(self.outcome(rule, facts, &question), Outcome::or)
        };
        let rules = self.rules.iter().map(|rule| RuleOutcome {
            id: rule.id.clone(),
            file: rule.file.clone(),
            line: rule.place.line,
            is_permit: rule.is_permit,
            mode: rule.mode,
            outcome: outcome(rule),
        });
        Explanation { facts: facts.clone(), decision: self.decide(facts), rules: rules.collect() }
    }

    fn outcome(&self, rule: &Rule, facts: &Facts, question: &Question<'_>) -> Outcome {
        let other = self.other(rule, facts);
        if !other.is_empty() {
            return Outcome::OutOfScope { other };
        }
        match question.holds(rule) {
            Ok(true) => Outcome::Matched,
            Ok(false) => {
                let unmet = question.request().map(|request| self.unmet(rule, request));
                Outcome::Nearly { unmet: unmet.unwrap_or_default() }
            }
            Err(error) => Outcome::Erred { error },
        }
    }

    /// The parts of a rule's scope that do not admit the facts.
    fn other(&self, rule: &Rule, facts: &Facts) -> Vec<Part> {
        let agent = self.inventory.agents.get(&facts.agent);
        let endpoint = self.endpoint_named(&facts.endpoint);
        let admits = [
            (Part::Agent, agent.is_some_and(|of| rule.admits_agent(&facts.agent, &of.groups))),
            (Part::Action, rule.is_about(&facts.operation)),
            (Part::Endpoint, endpoint.is_some_and(|endpoint| rule.admits_endpoint(endpoint))),
        ];
        admits.into_iter().filter(|(_, is_admitted)| !is_admitted).map(|(part, _)| part).collect()
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
    pub(in crate::policy) fn unmet(&self, rule: &Rule, request: &Request) -> Vec<String> {
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
                    unmet.push(if is_when { text } else { format!("{UNLESS}{text}") });
                }
            }
        }
        unmet
    }
}

impl Explanation {
    /// Where no rule permits the request: the permit that came nearest, and what keeps it from matching, as one line.
    /// Nothing if a rule decided, or if the bundle has no permit. For operators only: an agent is never given another
    /// rule.
    #[must_use]
    pub fn nearest_permit(&self) -> Option<String> {
        let Decision { effect, because, errors, .. } = &self.decision;
        if *effect == Effect::Allow || !because.is_empty() || !errors.is_empty() {
            return None;
        }
        let distance = |rule: &&RuleOutcome| match &rule.outcome {
            Outcome::Matched | Outcome::Erred { .. } => (0, 0),
            Outcome::Nearly { unmet } => (1, unmet.len()),
            Outcome::OutOfScope { other } => (2, other.len()),
        };
        let permits = self.rules.iter().filter(|rule| rule.is_permit && rule.mode == Mode::Enforce);
        let RuleOutcome { id, file, line, outcome, .. } = permits.min_by_key(distance)?;
        let subject = if matches!(outcome, Outcome::OutOfScope { .. }) { "it " } else { "" };
        let outcome = outcome.describe();
        Some(format!("nearest is permit `{id}` ({file}:{line}): {subject}{outcome}"))
    }
}

impl Outcome {
    /// How a rule met one of several things that are asked: where it came nearest.
    fn or(self, other: Self) -> Self {
        let distance = |outcome: &Self| match outcome {
            Self::Matched => 0,
            Self::Erred { .. } => 1,
            Self::Nearly { .. } => 2,
            Self::OutOfScope { .. } => 3,
        };
        if distance(&other) < distance(&self) { other } else { self }
    }

    /// How the rule met the facts, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Matched => "matched".to_owned(),
            Self::Nearly { unmet } => lacking(unmet),
            Self::Erred { error } => format!("could not be evaluated: {error}"),
            Self::OutOfScope { other } => {
                let other: Vec<&str> = other.iter().map(|part| part.as_str()).collect();
                format!("is for another {}", other.join(" and another "))
            }
        }
    }
}

/// Why the conditions of a rule do not hold, from the parts of them that do not.
#[must_use]
pub fn lacking(unmet: &[String]) -> String {
    if unmet.is_empty() {
        return "its conditions do not hold".to_owned();
    }
    let part = |part: &String| match part.strip_prefix(UNLESS) {
        Some(condition) => format!("`{condition}` holds, and the rule says `unless`"),
        None => format!("`{part}` does not hold"),
    };
    unmet.iter().map(part).collect::<Vec<_>>().join("; ")
}

/// Before a condition that must not hold.
const UNLESS: &str = "unless ";

/// One condition as a rule of its own.
pub(in crate::policy) fn alone(body: &Value) -> Option<CedarPolicy> {
    let rule = json!({
        "effect": "permit",
        "principal": { "op": "All" },
        "action": { "op": "All" },
        "resource": { "op": "All" },
        "conditions": [{ "kind": "when", "body": body }],
    });
    CedarPolicy::from_json(Some(PolicyId::new("alone")), rule).ok()
}

pub(in crate::policy) fn condition_text(alone: &CedarPolicy) -> String {
    let text = alone.to_cedar().unwrap_or_default();
    let inner = text.split_once("when").map_or(text.as_str(), |(_, rest)| rest);
    let inner = inner.trim().trim_end_matches(';').trim();
    let inner = inner.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(inner);
    as_written(inner.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A comparison as a person writes it: Cedar keeps `a > b` as `!(a <= b)`.
fn as_written(text: String) -> String {
    let inside = text.strip_prefix("!(").and_then(|rest| rest.strip_suffix(')'));
    let Some(inside) = inside.filter(|inside| !inside.contains(['(', ')', '"', '&', '|'])) else {
        return text;
    };
    for (kept, written) in [(" <= ", " > "), (" < ", " >= "), (" == ", " != ")] {
        if let Some((left, right)) = inside.split_once(kept) {
            return format!("{left}{written}{right}");
        }
    }
    text
}
