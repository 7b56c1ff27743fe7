// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cases: given this request, expect this decision. Run with the same evaluator as the data path.
//!
//! A case describes facts, gives a raw request that is understood by the codecs of the data path, or names a
//! recorded exchange. It says what it checks: the effect always, everything else only if it is written. A case
//! file with a problem runs no case at all, so that a misspelt expectation is never a passed one.

mod case;
mod coverage;
mod names;
mod outcome;
mod raw;
mod read;
pub(in crate::policy) mod request;
mod sent;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::facts;
use crate::model::{Decision, DetectorName, Effect, ExchangeId, Facts, RuleId};

pub use case::{Expectations, Said};
pub use coverage::{Coverage, Unreached};
pub(in crate::policy) use names::Names;
pub use outcome::{Mismatch, Outcome};
pub use raw::NotARequest;
pub use request::Request;

use super::super::decide::policy::Policy;
use super::super::load::diagnostic::{Diagnostic, Diagnostics};
use super::super::load::sources::Sources;
use case::{Case, Subject};

/// All cases of a bundle, in the order of files and places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One entry for each case.
    pub cases: Vec<Outcome>,
    /// Which rules they reach.
    pub coverage: Coverage,
}

impl Report {
    /// Whether every case passed. True if there is none.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.cases.iter().all(Outcome::has_passed)
    }
}

/// The cases of a bundle, read and not yet judged.
#[derive(Clone, Debug)]
pub struct Cases {
    cases: Vec<Case>,
}

/// Reads all cases, or lists what is wrong with their files.
///
/// # Errors
/// Every problem of every file.
pub fn read(
    policy: &Policy,
    sources: &Sources,
    expectations: Expectations,
) -> Result<Cases, Diagnostics> {
    let rules = names::rule_ids(policy);
    let names = Names::new(&policy.inventory, Some(&rules));
    Ok(Cases { cases: read::read(&names, sources, expectations)? })
}

/// What is wrong with the case files of a bundle that may itself be broken.
pub(in crate::policy) fn problems(names: &Names<'_>, sources: &Sources) -> Vec<Diagnostic> {
    let read = read::read(names, sources, Expectations::Required);
    read.err().map(|found| found.0).unwrap_or_default()
}

/// Runs all cases, or lists what is wrong with their files. One that names a recorded exchange fails.
///
/// # Errors
/// See [`read`].
pub fn run(policy: &Policy, sources: &Sources) -> Result<Report, Diagnostics> {
    let cases = read(policy, sources, Expectations::Required)?;
    Ok(cases.judge(policy, &BTreeMap::new()))
}

impl Cases {
    /// The recorded exchanges that cases name.
    #[must_use]
    pub fn exchanges(&self) -> BTreeSet<ExchangeId> {
        let named = self.cases.iter().filter_map(|case| match &case.subject {
            Subject::Exchange(id) => Some(*id),
            Subject::Facts(_) | Subject::Request { .. } => None,
        });
        named.collect()
    }

    /// The raw requests of cases.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.cases.iter().filter_map(|case| match &case.subject {
            Subject::Request { request, .. } => Some(request),
            Subject::Exchange(_) | Subject::Facts(_) => None,
        })
    }

    /// Judges all cases. `recorded` holds what was recorded of the exchanges that they name.
    #[must_use]
    pub fn judge(&self, policy: &Policy, recorded: &BTreeMap<ExchangeId, Facts>) -> Report {
        let cases = self.cases.iter().map(|case| judge(policy, recorded, case));
        let cases: Vec<Outcome> = cases.collect();
        let coverage = coverage::of(policy, &cases);
        Report { cases, coverage }
    }
}

fn judge(policy: &Policy, recorded: &BTreeMap<ExchangeId, Facts>, case: &Case) -> Outcome {
    let raw = match &case.subject {
        Subject::Request { endpoint, request, .. } => {
            policy.endpoint_named(endpoint).map(|endpoint| (endpoint, request))
        }
        Subject::Exchange(_) | Subject::Facts(_) => None,
    };
    let facts = match &case.subject {
        Subject::Exchange(id) => recorded.get(id).cloned(),
        Subject::Facts(facts) => Some(facts.clone()),
        Subject::Request { agent, .. } => {
            raw.map(|(endpoint, request)| request.facts(policy, agent, endpoint))
        }
    };
    let decision = facts.as_ref().map(|facts| policy.decide(facts));
    let mismatches = match (&facts, &decision) {
        (Some(facts), Some(decision)) => {
            // A rule need not ask for what a case expects to be found.
            let all = raw.map(|(endpoint, request)| {
                facts::detected(policy, endpoint.protocol, &request.head(), &request.body)
            });
            let mut found =
                compare(&case.expect, decision, all.as_ref().unwrap_or(&facts.detected));
            if let Some((endpoint, request)) = raw.filter(|_| !case.sent.is_empty()) {
                let sent = sent::body(policy, endpoint, request, decision);
                found.extend(case.sent.compare(&sent));
            }
            found
        }
        _ => vec![not_there(&case.subject)],
    };
    let (file, line, index) = (case.file.clone(), case.line, case.index);
    Outcome { file, line, index, name: case.name.clone(), mismatches, facts, decision }
}

/// What a case is about is not there, so it cannot pass.
fn not_there(subject: &Subject) -> Mismatch {
    let (what, expected) = match subject {
        Subject::Exchange(id) => ("exchange", format!("{id} to be recorded")),
        Subject::Facts(facts) => ("endpoint", format!("`{}`", facts.endpoint)),
        Subject::Request { endpoint, .. } => ("endpoint", format!("`{endpoint}`")),
    };
    Mismatch { what, expected, found: "nothing of that name".to_owned() }
}

fn compare(
    expect: &BTreeMap<&'static str, Said>,
    decision: &Decision,
    detected: &BTreeSet<DetectorName>,
) -> Vec<Mismatch> {
    let differs = |(what, found): (&'static str, Said)| {
        let expected = expect.get(what).filter(|expected| **expected != found)?;
        Some(Mismatch { what, expected: expected.to_string(), found: found.to_string() })
    };
    let all = said(decision).into_iter().chain([("detected", texts(detected))]);
    all.filter_map(differs).collect()
}

/// Every part of a decision that a case may expect.
fn said(decision: &Decision) -> Vec<(&'static str, Said)> {
    let obligations = &decision.obligations;
    let effect = match decision.effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    };
    vec![
        ("effect", Said::Text(effect.to_owned())),
        ("because", names(&decision.because)),
        ("mask_request", texts(&obligations.mask_request)),
        ("mask_response", texts(&obligations.mask_response)),
        ("approvals", texts(&obligations.approvals)),
        ("budgets", texts(&obligations.budgets)),
        ("credentials", texts(&obligations.credentials)),
        ("observed", names(&decision.observed)),
        ("record", Said::Text(obligations.record.as_str().to_owned())),
        ("message", Said::Text(decision.message.clone().unwrap_or_default())),
    ]
}

fn names(rules: &[RuleId]) -> Said {
    Said::Texts(rules.iter().map(ToString::to_string).collect())
}

fn texts<N: fmt::Display>(names: &BTreeSet<N>) -> Said {
    Said::Texts(names.iter().map(ToString::to_string).collect())
}

/// What a case is worth expecting of a decision: everything but the defaults.
#[must_use]
pub fn worth_expecting(decision: &Decision) -> Vec<(&'static str, Said)> {
    let is_worth = |(what, said): &(&str, Said)| match (*what, said) {
        ("effect" | "because", _) => true,
        ("record", said) => {
            decision.effect == Effect::Allow && *said != Said::Text("full".to_owned())
        }
        (_, Said::Text(text)) => !text.is_empty(),
        (_, Said::Texts(texts)) => !texts.is_empty(),
    };
    said(decision).into_iter().filter(is_worth).collect()
}
