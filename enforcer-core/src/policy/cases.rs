// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cases: given these facts, expect this decision. Run with the same evaluator as the data path.
//!
//! A case says what it checks: the effect always, everything else only if it is written. A case file with
//! a problem runs no case at all, so that a misspelt expectation is never a passed one.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::{
    AgentName, Decision, DetectorName, Effect, EndpointName, Facts, MaskName, RecordDepth, RuleId,
};

use super::diagnostic::{Place, in_order};
use super::schema::{self, ActionSpec, FactKind, FactValue};
use super::sheet::{self, Section, Sheet, Word};
use super::{Diagnostic, Diagnostics, Policy, SourceFile, Sources};

/// One expectation that was not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Which part of the decision.
    pub what: &'static str,
    /// What the case says.
    pub expected: String,
    /// What the policy says.
    pub found: String,
}

/// One case and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// File of the case, relative to the bundle.
    pub file: String,
    /// Its line, counted from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What was not as expected; empty if it passed.
    pub mismatches: Vec<Mismatch>,
    /// What the policy decided.
    pub decision: Decision,
}

impl Outcome {
    /// Whether everything was as expected.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.mismatches.is_empty()
    }
}

/// All cases of a bundle, in the order of files and places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One entry for each case.
    pub cases: Vec<Outcome>,
}

impl Report {
    /// Whether every case passed. True if there is none.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.cases.iter().all(Outcome::has_passed)
    }
}

/// A case as written.
struct Case {
    file: String,
    line: usize,
    name: String,
    facts: Facts,
    expect: Expect,
}

/// What a case says about the decision; what is `None` is not checked.
struct Expect {
    effect: Effect,
    because: Option<BTreeSet<String>>,
    mask_request: Option<BTreeSet<String>>,
    mask_response: Option<BTreeSet<String>>,
    record: Option<RecordDepth>,
    message: Option<String>,
}

/// Runs all cases, or lists what is wrong with their files.
pub fn run(policy: &Policy, sources: &Sources) -> Result<Report, Diagnostics> {
    let mut found = Vec::new();
    let mut cases = Vec::new();
    for file in sources.case_files() {
        read_file(policy, file, &mut cases, &mut found);
    }
    if !found.is_empty() {
        return Err(Diagnostics(in_order(found)));
    }
    let outcomes = cases.into_iter().map(|case| {
        let decision = policy.decide(&case.facts);
        let mismatches = compare(&case.expect, &decision);
        Outcome { file: case.file, line: case.line, name: case.name, mismatches, decision }
    });
    Ok(Report { cases: outcomes.collect() })
}

fn compare(expect: &Expect, decision: &Decision) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    let mut differs = |what, expected: String, found: String| {
        if expected != found {
            mismatches.push(Mismatch { what, expected, found });
        }
    };
    differs("effect", effect(expect.effect).to_owned(), effect(decision.effect).to_owned());
    let names = |names: &BTreeSet<String>| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("[{}]", names.join(", "))
    };
    let masks = |found: &BTreeSet<MaskName>| found.iter().map(|mask| mask.to_string()).collect();
    let because = decision.because.iter().map(RuleId::to_string).collect();
    let obligations = &decision.obligations;
    for (what, expected, found) in [
        ("because", &expect.because, because),
        ("mask_request", &expect.mask_request, masks(&obligations.mask_request)),
        ("mask_response", &expect.mask_response, masks(&obligations.mask_response)),
    ] {
        if let Some(expected) = expected {
            differs(what, names(expected), names(&found));
        }
    }
    if let Some(record) = expect.record {
        differs("record", depth(record).to_owned(), depth(obligations.record).to_owned());
    }
    if let Some(message) = &expect.message {
        differs("message", message.clone(), decision.message.clone().unwrap_or_default());
    }
    mismatches
}

const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

const fn depth(depth: RecordDepth) -> &'static str {
    match depth {
        RecordDepth::Facts => "facts",
        RecordDepth::Full => "full",
    }
}

fn read_file(
    policy: &Policy,
    file: &SourceFile,
    cases: &mut Vec<Case>,
    found: &mut Vec<Diagnostic>,
) {
    let table = match sheet::parse(file) {
        Ok(table) => table,
        Err(errors) => return found.extend(errors),
    };
    let mut sheet = Sheet::new(file);
    let top = Section { table: table.get_ref(), head: 0..0 };
    sheet.only(&top, &["case"]);
    if !top.table.contains_key("case") {
        sheet.missing(&top, "case");
    }
    for section in sheet.listed(&top, "case") {
        cases.extend(read_case(policy, &mut sheet, &section));
    }
    found.extend(sheet.found);
}

fn read_case(policy: &Policy, sheet: &mut Sheet<'_>, section: &Section<'_>) -> Option<Case> {
    sheet.only(section, &["name", "agent", "endpoint", "action", "facts", "detected", "expect"]);
    for key in ["name", "agent", "endpoint", "action", "expect"] {
        if !section.table.contains_key(key) {
            sheet.missing(section, key);
        }
    }
    let agents: Vec<&str> = policy.agents().map(AgentName::as_str).collect();
    let agent = known(sheet, section, "agent", &agents);
    let endpoints: Vec<&str> = policy.endpoints().map(|endpoint| endpoint.name.as_str()).collect();
    let endpoint = known(sheet, section, "endpoint", &endpoints);
    let detectors = policy.detector_names();
    let detectors: Vec<&str> = detectors.iter().map(DetectorName::as_str).collect();
    let detected =
        all_known(sheet, section, "detected", "detector", &detectors).unwrap_or_default();
    let actions: Vec<&str> = schema::ACTIONS.iter().map(|action| action.name).collect();
    let action = known(sheet, section, "action", &actions);
    let action = action.and_then(|word| schema::action(&word.text));
    let operation = action.and_then(|action| read_operation(sheet, section, action));
    let expect = sheet.section(section, "expect");
    let expect = expect.and_then(|expect| read_expect(policy, sheet, &expect));
    let name = sheet.text(section, "name")?;
    Some(Case {
        file: sheet.file.path.clone(),
        line: Place::of(&sheet.file.text, name.span.start).line,
        name: name.text,
        facts: Facts {
            agent: AgentName::new(agent?.text),
            endpoint: EndpointName::new(endpoint?.text),
            detected: detected.into_iter().map(DetectorName::new).collect(),
            sought: None,
            operation: operation?,
        },
        expect: expect?,
    })
}

fn known(sheet: &mut Sheet<'_>, section: &Section<'_>, key: &str, known: &[&str]) -> Option<Word> {
    let word = sheet.text(section, key)?;
    is_known(sheet, &word, key, known).then_some(word)
}

fn is_known(sheet: &mut Sheet<'_>, word: &Word, what: &str, known: &[&str]) -> bool {
    let is_known = known.contains(&word.text.as_str());
    if !is_known {
        let message = format!("unknown {what} `{}`", word.text);
        let found = Diagnostic::error(sheet.file, word.span.clone(), message);
        sheet.push(found.suggest(&word.text, known.iter().copied()));
    }
    is_known
}

fn all_known(
    sheet: &mut Sheet<'_>,
    section: &Section<'_>,
    key: &str,
    what: &str,
    known: &[&str],
) -> Option<BTreeSet<String>> {
    let words = sheet.texts(section, key)?;
    for word in &words {
        is_known(sheet, word, what, known);
    }
    Some(words.into_iter().map(|word| word.text).collect())
}

fn read_operation(
    sheet: &mut Sheet<'_>,
    section: &Section<'_>,
    action: &ActionSpec,
) -> Option<crate::model::Operation> {
    let before = sheet.found.len();
    let mut given = BTreeMap::new();
    let facts = sheet.section(section, "facts");
    let head = facts.as_ref().map_or_else(|| section.head.clone(), |facts| facts.head.clone());
    if let Some(facts) = facts {
        let names: Vec<&str> = action.facts.iter().map(|fact| fact.name).collect();
        sheet.only(&facts, &names);
        for spec in action.facts {
            let value = match spec.kind {
                FactKind::Bool => sheet.boolean(&facts, spec.name).map(FactValue::Bool),
                FactKind::Long => {
                    sheet.integer(&facts, spec.name).map(|(number, _)| FactValue::Long(number))
                }
                FactKind::String => read_text(sheet, &facts, spec.name).map(FactValue::String),
                FactKind::StringSet => sheet.texts(&facts, spec.name).map(|words| {
                    FactValue::StringSet(words.into_iter().map(|word| word.text).collect())
                }),
            };
            given.extend(value.map(|value| (spec.name.to_owned(), value)));
        }
    }
    if sheet.found.len() > before {
        return None;
    }
    match schema::operation(action, &given) {
        Ok(operation) => Some(operation),
        Err(message) => {
            sheet.error(head, message);
            None
        }
    }
}

/// A fact that is a text; one of few possible values is checked.
fn read_text(sheet: &mut Sheet<'_>, facts: &Section<'_>, name: &str) -> Option<String> {
    let word = sheet.text(facts, name)?;
    if name == "cause" {
        is_known(sheet, &word, "cause", schema::CAUSES);
    }
    Some(word.text)
}

fn read_expect(policy: &Policy, sheet: &mut Sheet<'_>, section: &Section<'_>) -> Option<Expect> {
    let keys = ["effect", "because", "mask_request", "mask_response", "record", "message"];
    sheet.only(section, &keys);
    if !section.table.contains_key("effect") {
        sheet.missing(section, "effect");
    }
    let rules: Vec<&str> = policy.rule_ids().map(RuleId::as_str).collect();
    let because = all_known(sheet, section, "because", "rule", &rules);
    let masks: Vec<&str> = policy.masks().map(MaskName::as_str).collect();
    let mask_request = all_known(sheet, section, "mask_request", "mask", &masks);
    let mask_response = all_known(sheet, section, "mask_response", "mask", &masks);
    let record = known(sheet, section, "record", &["facts", "full"]);
    let record = record.map(|word| match word.text.as_str() {
        "facts" => RecordDepth::Facts,
        _ => RecordDepth::Full,
    });
    let message = sheet.text(section, "message").map(|word| word.text);
    let effect = known(sheet, section, "effect", &["allow", "deny"])?;
    let effect = if effect.text == "allow" { Effect::Allow } else { Effect::Deny };
    Some(Expect { effect, because, mask_request, mask_response, record, message })
}
