// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what Cedar says to what a person reads: one problem once, with its place in the whole file.

use std::collections::{BTreeMap, BTreeSet};

use super::closest::{closest, did_you_mean, listed};
use super::diagnostic::Diagnostic;
use super::diagnostic::Place;
use super::draft::Draft;
use super::schema;
use super::sources::SourceFile;
use super::statement::{Kind, Statement};

/// Facts that an action does not have. Cedar says so once for each action; a person wants it once.
#[derive(Debug, Default)]
pub(super) struct UnknownFacts {
    by_place: BTreeMap<(usize, usize, String), BTreeSet<String>>,
}

impl UnknownFacts {
    /// Takes a problem if it is one of these.
    pub(in crate::policy) fn take(&mut self, found: &Diagnostic) -> bool {
        let parts = || {
            let rest = found.message.strip_prefix("attribute `")?;
            let (fact, rest) = rest.split_once("` in context for Action::\"")?;
            let action = rest.strip_suffix("\" not found")?;
            let span = found.span.clone()?;
            Some(((span.start, span.end, fact.to_owned()), action.to_owned()))
        };
        let Some((key, action)) = parts() else { return false };
        self.by_place.entry(key).or_default().insert(action);
        true
    }

    pub(in crate::policy) fn report(self, draft: &Draft<'_>) -> Vec<Diagnostic> {
        let report = |((start, end, fact), actions): ((usize, usize, String), BTreeSet<String>)| {
            let names: Vec<&str> = actions.iter().map(String::as_str).collect();
            let verb = if names.len() == 1 { "has" } else { "have" };
            let message = format!("{} {verb} no fact `{fact}`", list("action", &names));
            let found = draft.error(start..end, message);
            let owner = schema::ACTIONS
                .iter()
                .find(|action| action.facts.iter().any(|known| known.name == fact));
            if let Some(owner) = owner {
                let owner = owner.name;
                return found.help(format!(
                    "it is a fact of `{owner}`: limit the rule by `action == Action::\"{owner}\"`"
                ));
            }
            let known = schema::ACTIONS.iter().filter(|action| names.contains(&action.name));
            let known: BTreeSet<&str> = known
                .flat_map(|action| action.facts.iter().map(|known| known.name))
                .chain(["detected"])
                .collect();
            found.suggest(&fact, known)
        };
        self.by_place.into_iter().map(report).collect()
    }
}

/// A problem that Cedar found, in our words' frame and with the place in the whole file.
pub(super) fn translate(
    file: &SourceFile,
    statement: &Statement,
    error: &dyn miette::Diagnostic,
) -> Diagnostic {
    let label = error.labels().and_then(|mut labels| labels.next());
    let start = statement.span.start;
    let (span, text) = match &label {
        Some(label) => {
            let begin = (start + label.offset()).min(statement.span.end);
            let end = (begin + label.len()).min(statement.span.end);
            (begin..end, label.label().unwrap_or_default().to_owned())
        }
        None => (statement.head(), String::new()),
    };
    let message = error.to_string();
    let message = match message.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, "))
    {
        Some((_, rest)) => rest.to_owned(),
        None => message,
    };
    let own = in_our_words(&message);
    let help = own.as_ref().and_then(|(_, help)| help.clone());
    let help = help.or_else(|| help_for(file, statement, span.start, &message));
    let message = own.map_or(message, |(message, _)| message);
    let mut found = Diagnostic::error(file, span, message).label(text);
    // What Cedar takes for a misspelling may be wider than what was written.
    let of_cedar = || error.help().map(|help| help.to_string());
    found.help = help.or_else(|| of_cedar().filter(|help| !help.starts_with("did you mean")));
    found
}

/// What Cedar says in words that only its makers know, in those of this project, and what to do about it.
fn in_our_words(message: &str) -> Option<(String, Option<String>)> {
    let quoted = |prefix: &str| message.strip_prefix(prefix)?.split_once('`');
    if let Some((kind, _)) = quoted("unrecognized entity type `") {
        return Some((format!("there is no type `{kind}`"), Some(type_help(kind))));
    }
    if let Some((fact, rest)) =
        quoted("unable to guarantee safety of access to optional attribute `")
    {
        let action = rest.strip_prefix(" in context for Action::\"")?.strip_suffix('"')?;
        let help = format!("ask for it first: `context has {fact} && context.{fact} …`");
        return Some((format!("not every `{action}` has the fact `{fact}`"), Some(help)));
    }
    let (expected, saw) =
        message.strip_prefix("unexpected type: expected ")?.split_once(" but saw ")?;
    let expected: Vec<&str> = expected.split(", or ").map(type_words).collect();
    Some((format!("expected {}, found {}", expected.join(" or "), type_words(saw)), None))
}

/// A type of Cedar, in words.
fn type_words(kind: &str) -> &str {
    match kind {
        "Bool" | "True" | "False" => "true or false",
        "Long" => "a number",
        "String" => "a text",
        "Set<String>" => "a set of texts",
        "Set<Long>" => "a set of numbers",
        other if other.starts_with("Set<") => "a set",
        other if other.starts_with('{') => "a record",
        other if other.contains("__cedar") => "an agent, an action, an endpoint or a group",
        other => other,
    }
}

/// Types of the language, and other words for what they are.
const TYPES: [(&str, &[&str]); 5] = [
    ("Action", &["Method", "Operation", "Verb"]),
    ("Agent", &["Application", "Bot", "Process", "Service", "User"]),
    ("Endpoint", &["Destination", "Host", "Provider", "Resource", "Server"]),
    ("EndpointGroup", &["Endpoints", "Hosts", "Providers"]),
    ("Group", &["Crew", "Department", "Role", "Team"]),
];

/// The type that was probably meant, and all there are.
fn type_help(written: &str) -> String {
    let name = written.rsplit("::").next().unwrap_or(written);
    let is_synonym = |word: &&str| word.eq_ignore_ascii_case(name);
    let same = TYPES.iter().find(|(_, words)| words.iter().any(is_synonym));
    let meant = same.map(|(kind, _)| *kind);
    let meant = meant.or_else(|| closest(name, TYPES.iter().map(|(kind, _)| *kind)));
    let all = listed(TYPES.iter().map(|(kind, _)| *kind)).unwrap_or_default();
    match meant {
        Some(kind) => format!("{} ({all})", did_you_mean(kind)),
        None => all,
    }
}

/// What to do where we know more than Cedar about what was meant.
fn help_for(file: &SourceFile, statement: &Statement, at: usize, message: &str) -> Option<String> {
    if message.ends_with("is not a valid function") {
        let help =
            "a rule reads no clock, file or network; `enforcer policy schema` lists the facts";
        return Some(help.to_owned());
    }
    if message.ends_with("is not a valid method") {
        return Some("texts are matched by `==` or `like \"gpt-*\"`".to_owned());
    }
    // An open string swallows everything up to the next quote, and only there something looks wrong.
    if message.starts_with("invalid token") || message.starts_with("unexpected token") {
        let open = statement.tokens.iter().find(|token| {
            let text = file.text.get(token.span.clone()).unwrap_or_default();
            token.kind == Kind::Text && token.span.start < at && text.contains('\n')
        })?;
        let line = Place::of(&file.text, open.span.start).line;
        return Some(format!("the string that begins in line {line} is not closed in that line"));
    }
    None
}

pub(in crate::policy) fn list(what: &str, names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{what}{plural} {}", quoted.join(", "))
}
