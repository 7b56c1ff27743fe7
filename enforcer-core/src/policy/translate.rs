// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what Cedar says to what a person reads: one problem once, with its place in the whole file.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::Place;
use super::draft::Draft;
use super::statement::{Kind, Statement};
use super::{Diagnostic, SourceFile, schema};

/// Facts that an action does not have. Cedar says so once for each action; a person wants it once.
#[derive(Debug, Default)]
pub(super) struct UnknownFacts {
    by_place: BTreeMap<(usize, usize, String), BTreeSet<String>>,
}

impl UnknownFacts {
    /// Takes a problem if it is one of these.
    pub(super) fn take(&mut self, found: &Diagnostic) -> bool {
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

    pub(super) fn report(self, draft: &Draft<'_>) -> Vec<Diagnostic> {
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
    let help = help(file, statement, span.start, &message);
    let mut found = Diagnostic::error(file, span, message).label(text);
    found.help = help.or_else(|| error.help().map(|help| help.to_string()));
    found
}

/// What to do where we know more than Cedar about what was meant.
fn help(file: &SourceFile, statement: &Statement, at: usize, message: &str) -> Option<String> {
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

pub(super) fn list(what: &str, names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{what}{plural} {}", quoted.join(", "))
}
