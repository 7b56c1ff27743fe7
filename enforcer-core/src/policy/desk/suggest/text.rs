// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Suggested rules and cases as text.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::model::Facts;
use crate::model::limits::NAME_BYTES_MAX;

use super::super::super::load::schema::{ActionSpec, FactKind, FactSpec, Otherwise};
use super::observed::{Kind, Observed, Values};

/// Facts that say how an agent works and not what it may do.
const UNBOUND: [&str; 5] = ["api", "message_count", "stream", "system", "tool_choice"];

/// A free id for the rule of a kind.
pub(super) fn rule_id(kind: &Kind, taken: &BTreeSet<String>) -> String {
    let mut base = format!("{}-{}-{}", kind.agent, kind.endpoint, kind.action);
    // Names are ASCII, so every byte is a place to cut.
    base.truncate(NAME_BYTES_MAX - 4);
    let numbered = (2..1000).map(|number| format!("{base}-{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|id| !taken.contains(id)).unwrap_or(base)
}

/// A permit for everything of a kind that was seen.
pub(super) fn rule(id: &str, kind: &Kind, action: &ActionSpec, observed: &Observed) -> String {
    let seen = if kind.is_refused { "Refused" } else { "Seen" };
    let times =
        if observed.count == 1 { "once".to_owned() } else { format!("{} times", observed.count) };
    let mut text = format!("// {seen} {times}.\n");
    for (name, count) in &observed.detected {
        // Writing into a String does not fail.
        let _infallible =
            writeln!(text, "// `{name}` found something in {count} of them; should it be masked?");
    }
    let mut conditions = Vec::new();
    for spec in action.facts.iter().filter(|spec| !UNBOUND.contains(&spec.name)) {
        match observed.facts.get(spec.name).map(|values| bound(spec, values, observed)) {
            Some(Bound::By(condition)) => conditions.push(condition),
            Some(Bound::Hidden) => {
                let name = spec.name;
                let _infallible = writeln!(
                    text,
                    "// `{name}` is not bounded: a part of it is hidden in the record."
                );
            }
            Some(Bound::TooMany) => {
                let name = spec.name;
                let _infallible = writeln!(text, "// `{name}` is not bounded: too many values.");
            }
            Some(Bound::Free) | None => {}
        }
    }
    let _infallible = write!(
        text,
        "@id(\"{id}\")\npermit (\n  principal == Agent::\"{}\",\n  action == Action::\"{}\",\n  resource == Endpoint::\"{}\"\n)",
        kind.agent, kind.action, kind.endpoint
    );
    if conditions.is_empty() {
        return text + ";\n\n";
    }
    text + &format!("\nwhen {{\n  {}\n}};\n\n", conditions.join(" &&\n  "))
}

/// How a fact is bounded to what was seen.
enum Bound {
    By(String),
    Free,
    Hidden,
    TooMany,
}

fn bound(spec: &FactSpec, values: &Values, observed: &Observed) -> Bound {
    let fact = format!("context.{}", spec.name);
    let is_hidden = observed.hidden.contains(spec.name);
    if is_hidden && spec.name != "path" {
        return Bound::Hidden;
    }
    let condition = match values {
        Values::Bool(true, false) => fact,
        Values::Bool(false, true) => format!("!{fact}"),
        Values::Bool(_, _) => return Bound::Free,
        Values::Long(least, most) if spec.name == "port" && least == most => {
            format!("{fact} == {most}")
        }
        Values::Long(_, most) => format!("{fact} <= {}", round_up(*most)),
        Values::Texts(_) if is_hidden => like(&fact, observed.path.as_deref().unwrap_or_default()),
        Values::Texts(Some(texts)) if spec.kind == FactKind::StringSet => match texts.len() {
            0 => format!("{fact}.isEmpty()"),
            _ => format!("{}.containsAll({fact})", set(texts)),
        },
        Values::Texts(Some(texts)) => match texts.iter().next() {
            Some(only) if texts.len() == 1 => format!("{fact} == {}", cedar(only)),
            _ => format!("{}.contains({fact})", set(texts)),
        },
        Values::Texts(None) => match observed.path.as_deref().filter(|_| spec.name == "path") {
            Some(beginning) => like(&fact, beginning),
            None => return Bound::TooMany,
        },
    };
    Bound::By(match spec.otherwise {
        Otherwise::Absent => format!("(if context has {} then {condition} else true)", spec.name),
        Otherwise::Default(_) | Otherwise::Required | Otherwise::Text(_) => condition,
    })
}

/// That a fact begins so.
fn like(fact: &str, beginning: &str) -> String {
    let beginning = cedar(beginning).replace('*', "\\*");
    let beginning = beginning.strip_suffix('"').unwrap_or(&beginning);
    format!("{fact} like {beginning}*\"")
}

/// A bound that a person would choose: the next of 1, 2 or 5 times a power of ten.
fn round_up(number: i64) -> i64 {
    let mut power = 1_i64;
    loop {
        for step in [1, 2, 5] {
            match power.checked_mul(step) {
                Some(bound) if bound >= number => return bound,
                Some(_) => {}
                None => return i64::MAX,
            }
        }
        let Some(next) = power.checked_mul(10) else { return i64::MAX };
        power = next;
    }
}

fn set(texts: &BTreeSet<String>) -> String {
    let texts: Vec<String> = texts.iter().map(|text| cedar(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// A string of Cedar; everything that is not plain is escaped.
fn cedar(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if is_plain(c) => c.to_string(),
        c => format!("\\u{{{:x}}}", u32::from(c)),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

/// A string of TOML; everything that is not plain is escaped.
pub(super) fn toml(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if is_plain(c) => c.to_string(),
        c => format!("\\U{:08x}", u32::from(c)),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric()
}

/// A case for each example of a kind.
pub(super) fn cases(id: &str, kind: &Kind, action: &ActionSpec, observed: &Observed) -> String {
    let numbered = observed.examples.iter().enumerate();
    numbered.map(|(number, facts)| case(id, kind, action, facts, number + 1)).collect()
}

fn case(id: &str, kind: &Kind, action: &ActionSpec, facts: &Facts, number: usize) -> String {
    let operation = serde_json::to_value(&facts.operation).unwrap_or_default();
    let given = action.facts.iter().filter_map(|spec| {
        let value = operation.get(spec.name)?;
        Some(format!("{} = {}", spec.name, value_text(value)))
    });
    let given: Vec<String> = given.collect();
    let detected: Vec<String> = facts.detected.iter().map(|name| toml(name.as_str())).collect();
    let expect = if kind.is_refused {
        "{ effect = \"deny\" }".to_owned()
    } else {
        format!("{{ effect = \"allow\", because = [\"{id}\"] }}")
    };
    let seen = if kind.is_refused { "refused" } else { "seen" };
    let mut text = format!(
        "[[case]]\nname = \"{id}: {seen}, {number}\"\nagent = \"{}\"\nendpoint = \"{}\"\naction = \"{}\"\nfacts = {{ {} }}\n",
        kind.agent,
        kind.endpoint,
        kind.action,
        given.join(", ")
    );
    if !detected.is_empty() {
        text += &format!("detected = [{}]\n", detected.join(", "));
    }
    text + &format!("expect = {expect}\n\n")
}

fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => toml(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(value_text).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_round_and_never_below_what_was_seen() {
        for (seen, bound) in [(0, 1), (1, 1), (2, 2), (3, 5), (11, 20), (4001, 5000), (9999, 10000)]
        {
            assert_eq!(round_up(seen), bound);
        }
        assert_eq!(round_up(i64::MAX), i64::MAX);
        assert_eq!(round_up(i64::MAX / 2), 5_000_000_000_000_000_000);
    }

    #[test]
    fn what_an_agent_chose_stays_inside_its_string() {
        let text = "a\"; permit (principal, action, resource);\n// \\ \u{202e} ä";
        let escaped = cedar(text);
        assert_eq!(
            escaped,
            "\"a\\\"; permit (principal, action, resource);\\u{a}// \\\\ \\u{202e} ä\""
        );
        assert!(!toml(text).contains('\n') && toml(text).contains("\\U0000202e"));
    }
}
