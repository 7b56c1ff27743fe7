// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Case files, read strictly: a misspelt expectation must not be a passed one.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    AgentName, ApprovalName, DetectorName, EndpointName, ExchangeId, Facts, MaskName, RuleId,
};

use super::super::diagnostic::{Place, in_order};
use super::super::schema::{self, ActionSpec, FactKind, FactValue};
use super::super::sheet::{self, Section, Sheet, Word};
use super::super::{Diagnostic, Diagnostics, Policy, SourceFile, Sources};
use super::{Case, Cases, Expectations, Said, Subject, request};

/// What describes a request by facts.
const BY_FACTS: [&str; 3] = ["action", "facts", "detected"];

/// Reads all case files, or lists what is wrong with them.
pub(super) fn read(
    policy: &Policy,
    sources: &Sources,
    expectations: Expectations,
) -> Result<Cases, Diagnostics> {
    let mut found = Vec::new();
    let mut cases = Vec::new();
    for file in sources.case_files() {
        read_file(policy, file, expectations, &mut cases, &mut found);
    }
    if found.is_empty() { Ok(Cases { cases }) } else { Err(Diagnostics(in_order(found))) }
}

fn read_file(
    policy: &Policy,
    file: &SourceFile,
    expectations: Expectations,
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
    for (index, section) in sheet.listed(&top, "case").iter().enumerate() {
        cases.extend(read_case(policy, &mut sheet, section, expectations, index));
    }
    found.extend(sheet.found);
}

fn read_case(
    policy: &Policy,
    sheet: &mut Sheet<'_>,
    section: &Section<'_>,
    expectations: Expectations,
    index: usize,
) -> Option<Case> {
    let more = ["name", "agent", "endpoint", "request", "exchange", "expect"];
    sheet.only(section, &[&more[..], &BY_FACTS].concat());
    let required: &[&str] = match expectations {
        Expectations::Open => &["name"],
        Expectations::Required => &["name", "expect"],
    };
    require(sheet, section, required);
    let subject = read_subject(policy, sheet, section);
    let expect = sheet.section(section, "expect");
    let expect = expect.map(|expect| read_expect(policy, sheet, &expect, expectations));
    let name = sheet.text(section, "name")?;
    Some(Case {
        file: sheet.file.path.clone(),
        line: Place::of(&sheet.file.text, name.span.start).line,
        index,
        name: name.text,
        subject: subject?,
        expect: expect.unwrap_or_default(),
    })
}

fn require(sheet: &mut Sheet<'_>, section: &Section<'_>, keys: &[&str]) {
    for key in keys {
        if !section.table.contains_key(*key) {
            sheet.missing(section, key);
        }
    }
}

/// What a case is about: described facts, a raw request, or a recorded exchange.
fn read_subject(policy: &Policy, sheet: &mut Sheet<'_>, section: &Section<'_>) -> Option<Subject> {
    if section.table.contains_key("exchange") {
        refuse_beside(sheet, section, "exchange", &["agent", "endpoint", "request"]);
        refuse_beside(sheet, section, "exchange", &BY_FACTS);
        return read_exchange(sheet, section).map(Subject::Exchange);
    }
    require(sheet, section, &["agent", "endpoint"]);
    let agents: Vec<&str> = policy.agents().map(AgentName::as_str).collect();
    let agent = known(sheet, section, "agent", &agents);
    let endpoints: Vec<&str> = policy.endpoints().map(|endpoint| endpoint.name.as_str()).collect();
    let endpoint = known(sheet, section, "endpoint", &endpoints);
    if section.table.contains_key("request") {
        refuse_beside(sheet, section, "request", &BY_FACTS);
        let raw = sheet.section(section, "request");
        let raw = raw.and_then(|raw| request::read(sheet, &raw));
        let (agent, endpoint) = (AgentName::new(agent?.text), EndpointName::new(endpoint?.text));
        return request::judgeable(policy, sheet, section, &endpoint).then_some(Subject::Request {
            agent,
            endpoint,
            request: raw?,
        });
    }
    require(sheet, section, &["action"]);
    let detectors = policy.detector_names();
    let detectors: Vec<&str> = detectors.iter().map(DetectorName::as_str).collect();
    let detected =
        all_known(sheet, section, "detected", "detector", &detectors).unwrap_or_default();
    let actions: Vec<&str> = schema::ACTIONS.iter().map(|action| action.name).collect();
    let action = known(sheet, section, "action", &actions);
    let action = action.and_then(|word| schema::action(&word.text));
    let operation = action.and_then(|action| read_operation(sheet, section, action));
    Some(Subject::Facts(Facts {
        agent: AgentName::new(agent?.text),
        endpoint: EndpointName::new(endpoint?.text),
        detected: detected.into_iter().map(DetectorName::new).collect(),
        sought: None,
        operation: operation?,
    }))
}

fn refuse_beside(sheet: &mut Sheet<'_>, section: &Section<'_>, what: &str, keys: &[&str]) {
    for key in keys {
        if let Some((found, _)) = section.table.get_key_value(*key) {
            let message = format!("`{key}` cannot stand beside `{what}`, which says it already");
            sheet.error(found.span(), message).label = "remove one of them".to_owned();
        }
    }
}

fn read_exchange(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Option<ExchangeId> {
    let word = sheet.text(section, "exchange")?;
    let id = word.text.parse().ok();
    if id.is_none() {
        sheet.error(word.span, format!("`{}` is not the id of an exchange", word.text)).help =
            Some("`enforcer session show ID` lists them".to_owned());
    }
    id
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

fn read_expect(
    policy: &Policy,
    sheet: &mut Sheet<'_>,
    section: &Section<'_>,
    expectations: Expectations,
) -> BTreeMap<&'static str, Said> {
    let rules: Vec<&str> = policy.rule_ids().map(RuleId::as_str).collect();
    let masks: Vec<&str> = policy.masks().map(MaskName::as_str).collect();
    let approvals: Vec<&str> = policy.approvals().map(ApprovalName::as_str).collect();
    let budgets: Vec<&str> = policy.budgets().map(|(name, _)| name.as_str()).collect();
    let credentials: Vec<&str> = policy.credentials().map(|(name, _)| name.as_str()).collect();
    let names = [
        ("because", "rule", &rules),
        ("observed", "rule", &rules),
        ("mask_request", "mask", &masks),
        ("mask_response", "mask", &masks),
        ("approvals", "approval", &approvals),
        ("budgets", "budget", &budgets),
        ("credentials", "credential", &credentials),
    ];
    let keys = names.iter().map(|(key, _, _)| *key).chain(["effect", "record", "message"]);
    sheet.only(section, &keys.collect::<Vec<_>>());
    if expectations == Expectations::Required {
        require(sheet, section, &["effect"]);
    }
    let mut expect = BTreeMap::new();
    for (key, what, known) in names {
        let texts = all_known(sheet, section, key, what, known);
        expect.extend(texts.map(|texts| (key, Said::Texts(texts))));
    }
    for (key, values) in [("effect", ["allow", "deny"]), ("record", ["facts", "full"])] {
        let word = known(sheet, section, key, &values);
        expect.extend(word.map(|word| (key, Said::Text(word.text))));
    }
    let message = sheet.text(section, "message");
    expect.extend(message.map(|word| ("message", Said::Text(word.text))));
    expect
}
