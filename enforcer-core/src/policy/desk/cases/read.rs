// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Case files, read strictly: a misspelt expectation must not be a passed one.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{AgentName, DetectorName, EndpointName, ExchangeId, Facts, NotAnId};

use super::super::super::load::diagnostic::{Diagnostic, Diagnostics};
use super::super::super::load::diagnostic::{Place, in_order};
use super::super::super::load::inventory::Named;
use super::super::super::load::schema::{self, ActionSpec, FactKind, FactValue};
use super::super::super::load::sheet::{self, Partial, Section, Sheet, Word};
use super::super::super::load::sources::{SourceFile, Sources};
use super::case::{Case, Expectations, Said, Subject};
use super::names::{Known, Names};
use super::request;
use super::sent::Sent;

/// What describes a request by facts.
const BY_FACTS: [&str; 3] = ["action", "facts", "detected"];

/// Reads all case files, or lists what is wrong with them.
pub(super) fn read(
    names: &Names<'_>,
    sources: &Sources,
    expectations: Expectations,
) -> Result<Vec<Case>, Diagnostics> {
    let mut found = Vec::new();
    let mut cases = Vec::new();
    for file in sources.case_files() {
        read_file(names, file, expectations, &mut cases, &mut found);
    }
    if found.is_empty() { Ok(cases) } else { Err(Diagnostics(in_order(found))) }
}

fn read_file(
    names: &Names<'_>,
    file: &SourceFile,
    expectations: Expectations,
    cases: &mut Vec<Case>,
    found: &mut Vec<Diagnostic>,
) {
    let Partial { table, trust, errors } = sheet::parse_partly(file);
    found.extend(errors);
    let mut sheet = Sheet::partly(file, trust);
    let top = Section { table: table.get_ref(), head: 0..0 };
    sheet.only(&top, &["case"]);
    if !top.table.contains_key("case") {
        sheet.missing(&top, "case");
    }
    for (index, section) in sheet.listed(&top, "case").iter().enumerate() {
        cases.extend(read_case(names, &mut sheet, section, expectations, index));
    }
    found.extend(sheet.finish());
}

fn read_case(
    names: &Names<'_>,
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
    let subject = read_subject(names, sheet, section);
    let written = sheet.section(section, "expect");
    let expect = written.as_ref().map(|written| read_expect(names, sheet, written, expectations));
    let sent = written.map(|written| read_sent(sheet, section, &written));
    let name = sheet.text(section, "name")?;
    Some(Case {
        file: sheet.file.path.clone(),
        line: Place::of(&sheet.file.text, name.span.start).line,
        index,
        name: name.text,
        subject: subject?,
        expect: expect.unwrap_or_default(),
        sent: sent.unwrap_or_default(),
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
fn read_subject(
    names: &Names<'_>,
    sheet: &mut Sheet<'_>,
    section: &Section<'_>,
) -> Option<Subject> {
    if section.table.contains_key("exchange") {
        refuse_beside(sheet, section, "exchange", &["agent", "endpoint", "request"]);
        refuse_beside(sheet, section, "exchange", &BY_FACTS);
        return read_exchange(sheet, section).map(Subject::Exchange);
    }
    require(sheet, section, &["agent", "endpoint"]);
    let agent = known(sheet, section, "agent", &names.of(Named::Agents));
    let endpoint = known(sheet, section, "endpoint", &names.of(Named::Endpoints));
    if section.table.contains_key("request") {
        refuse_beside(sheet, section, "request", &BY_FACTS);
        let raw = sheet.section(section, "request");
        let raw = raw.and_then(|raw| request::read(sheet, &raw));
        let (agent, endpoint) = (AgentName::new(agent?.text), EndpointName::new(endpoint?.text));
        return request::judgeable(names, sheet, section, &endpoint).then_some(Subject::Request {
            agent,
            endpoint,
            request: raw?,
        });
    }
    require(sheet, section, &["action"]);
    let detectors = names.of(Named::Detectors);
    let detected =
        all_known(sheet, section, "detected", "detector", &detectors).unwrap_or_default();
    let action = known(sheet, section, "action", &all(schema::ACTIONS.iter().map(|of| of.name)));
    let action = action.and_then(|word| schema::action(&word.text));
    let operation = action.and_then(|action| read_operation(sheet, section, action));
    Some(Subject::Facts(Facts {
        agent: AgentName::new(agent?.text),
        endpoint: EndpointName::new(endpoint?.text),
        detected: detected.into_iter().map(DetectorName::new).collect(),
        sought: None,
        calls: Vec::new(),
        hidden: Default::default(),
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
    match word.text.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            let error: NotAnId = error;
            sheet.error(word.span, error.to_string());
            None
        }
    }
}

/// Names of the language.
fn all<'a>(names: impl IntoIterator<Item = &'a str>) -> Known {
    Some(names.into_iter().map(str::to_owned).collect())
}

fn known(sheet: &mut Sheet<'_>, section: &Section<'_>, key: &str, known: &Known) -> Option<Word> {
    let word = sheet.text(section, key)?;
    is_known(sheet, &word, key, known).then_some(word)
}

fn is_known(sheet: &mut Sheet<'_>, word: &Word, what: &str, known: &Known) -> bool {
    let Some(known) = known.as_ref().filter(|known| !known.contains(&word.text)) else {
        return true;
    };
    let message = format!("unknown {what} `{}`", word.text);
    let found = Diagnostic::error(sheet.file, word.span.clone(), message);
    sheet.push(found.suggest(&word.text, known.iter().map(String::as_str)));
    false
}

fn all_known(
    sheet: &mut Sheet<'_>,
    section: &Section<'_>,
    key: &str,
    what: &str,
    known: &Known,
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
    let mut written = 0;
    let facts = sheet.section(section, "facts");
    let head = facts.as_ref().map_or_else(|| section.head.clone(), |facts| facts.head.clone());
    if let Some(facts) = facts {
        let names: Vec<&str> = action.facts.iter().map(|fact| fact.name).collect();
        written = facts.table.len();
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
    // One that could not be read is not missing.
    if sheet.found.len() > before || given.len() < written {
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
        is_known(sheet, &word, "cause", &all(schema::CAUSES.iter().copied()));
    } else if name == "kind" {
        is_known(sheet, &word, "kind of tool", &all(schema::KINDS.iter().copied()));
    }
    Some(word.text)
}

fn read_expect(
    names: &Names<'_>,
    sheet: &mut Sheet<'_>,
    section: &Section<'_>,
    expectations: Expectations,
) -> BTreeMap<&'static str, Said> {
    let lists = [
        ("because", "rule", names.rules()),
        ("observed", "rule", names.rules()),
        ("mask_request", "mask", names.of(Named::Masks)),
        ("mask_response", "mask", names.of(Named::Masks)),
        ("approvals", "approval", names.of(Named::Approvals)),
        ("budgets", "budget", names.of(Named::Budgets)),
        ("credentials", "credential", names.of(Named::Credentials)),
        ("detected", "detector", names.of(Named::Detectors)),
    ];
    let keys = lists.iter().map(|(key, _, _)| *key);
    let keys = keys.chain(["effect", "record", "message", Sent::CONTAINS, Sent::LACKS]);
    sheet.only(section, &keys.collect::<Vec<_>>());
    if expectations == Expectations::Required {
        require(sheet, section, &["effect"]);
    }
    let mut expect = BTreeMap::new();
    for (key, what, known) in &lists {
        let texts = all_known(sheet, section, key, what, known);
        expect.extend(texts.map(|texts| (*key, Said::Texts(texts))));
    }
    for (key, values) in [("effect", ["allow", "deny"]), ("record", ["facts", "full"])] {
        let word = known(sheet, section, key, &all(values));
        expect.extend(word.map(|word| (key, Said::Text(word.text))));
    }
    let message = sheet.text(section, "message");
    expect.extend(message.map(|word| ("message", Said::Text(word.text))));
    expect
}

/// What is expected of the body that would be sent: only of a raw request there is one.
fn read_sent(sheet: &mut Sheet<'_>, case: &Section<'_>, expect: &Section<'_>) -> Sent {
    let mut read = |key: &str| {
        let words = sheet.texts(expect, key).unwrap_or_default();
        if let Some((name, _)) = expect.table.get_key_value(key)
            && !case.table.contains_key("request")
        {
            let message = format!("`{key}` needs a raw request: facts alone have no body");
            sheet.error(name.span(), message).help =
                Some("write the request under `request`".to_owned());
        }
        words.into_iter().map(|word| word.text).collect()
    };
    Sent { contains: read(Sent::CONTAINS), lacks: read(Sent::LACKS) }
}
