// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The first part of a condition, where it is a plain comparison of a fact with texts.
//!
//! Most rules of a large bundle begin with one: `context.tools.contains("mail")`, `context.model == "o3"`. Cedar
//! looks at the parts of `&&` from left to right and stops at one that does not hold, so a rule whose first part
//! does not hold is not satisfied and cannot err, and nobody has to ask Cedar. Errs towards asking: what is not
//! recognized is no first part.

use std::collections::BTreeSet;

use cedar_policy::Policy as CedarPolicy;
use serde_json::Value;

use crate::model::{DetectorName, Facts, Operation};

/// What has to hold before anything else of a condition is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// A fact that is a set holds a text.
    Holds { fact: String, text: String },
    /// A fact that is a text is one of these.
    IsOneOf { fact: String, texts: BTreeSet<String> },
}

impl First {
    /// Of the first condition, if that is a `when`.
    pub(super) fn of(rule: &CedarPolicy) -> Option<Self> {
        let tree = rule.to_json().ok()?;
        let condition = tree.get("conditions")?.as_array()?.first()?;
        if condition.get("kind")?.as_str()? != "when" {
            return None;
        }
        let mut part = condition.get("body")?;
        while let Some(and) = part.get("&&") {
            part = and.get("left")?;
        }
        if let Some(call) = part.get("contains") {
            let (left, right) = (call.get("left")?, call.get("right")?);
            return match (fact(left), fact(right)) {
                (Some(fact), None) => Some(Self::Holds { fact, text: text(right)? }),
                (None, Some(fact)) => {
                    let texts = left.get("Set")?.as_array()?.iter().map(text);
                    Some(Self::IsOneOf { fact, texts: texts.collect::<Option<_>>()? })
                }
                _ => None,
            };
        }
        let equal = part.get("==")?;
        let (left, right) = (equal.get("left")?, equal.get("right")?);
        let (fact, text) = match (fact(left), fact(right)) {
            (Some(fact), None) => (fact, text(right)?),
            (None, Some(fact)) => (fact, text(left)?),
            _ => return None,
        };
        Some(Self::IsOneOf { fact, texts: BTreeSet::from([text]) })
    }

    /// True if it does not hold. Of facts that are not known here nothing is said.
    pub(super) fn fails(&self, facts: &Facts) -> bool {
        match self {
            Self::Holds { fact, text } => match (fact.as_str(), &facts.operation) {
                ("detected", _) => !facts.detected.iter().any(|found| is(found, text)),
                ("tools", Operation::Chat(chat)) => !chat.tools.contains(text),
                ("parts", Operation::Chat(chat)) => !chat.parts.contains(text),
                _ => false,
            },
            Self::IsOneOf { fact, texts } => {
                let found = match (fact.as_str(), &facts.operation) {
                    ("model", operation) => operation.model(),
                    ("method", Operation::Http(http)) => Some(http.method.as_str()),
                    ("path", Operation::Http(http)) => Some(http.path.as_str()),
                    _ => None,
                };
                found.is_some_and(|found| !texts.contains(found))
            }
        }
    }
}

fn is(name: &DetectorName, text: &str) -> bool {
    name.as_str() == text
}

/// `context.NAME`.
fn fact(tree: &Value) -> Option<String> {
    let access = tree.get(".")?;
    let is_context = access.get("left")?.get("Var")?.as_str()? == "context";
    is_context.then(|| access.get("attr")?.as_str().map(str::to_owned)).flatten()
}

fn text(tree: &Value) -> Option<String> {
    tree.get("Value")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(conditions: &str) -> Option<First> {
        let text = format!("permit (principal, action, resource) {conditions};");
        First::of(&text.parse().expect("a rule"))
    }

    #[test]
    fn a_plain_comparison_is_recognized_where_it_comes_first() {
        let holds = |fact: &str, text: &str| {
            Some(First::Holds { fact: fact.to_owned(), text: text.to_owned() })
        };
        let one_of = |fact: &str, texts: &[&str]| {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            Some(First::IsOneOf { fact: fact.to_owned(), texts })
        };
        let check =
            |conditions: &str, expect| assert_eq!(first(conditions), expect, "{conditions}");
        check("when { context.tools.contains(\"mail\") && context.x > 1 }", holds("tools", "mail"));
        check(
            "when { context.detected.contains(\"email\") } unless { true }",
            holds("detected", "email"),
        );
        check("when { [\"a\", \"b\"].contains(context.model) }", one_of("model", &["a", "b"]));
        check("when { context.method == \"GET\" && true && true }", one_of("method", &["GET"]));
        check("when { \"GET\" == context.method }", one_of("method", &["GET"]));
        for other in [
            "",
            "unless { context.model == \"a\" }",
            "when { context.x > 1 && context.model == \"a\" }",
            "when { context.model == \"a\" || true }",
            "when { !(context.model == \"a\") }",
            "when { context.model == context.other }",
            "when { context has model && context.model == \"a\" }",
            "when { context.tools.containsAny([\"a\"]) }",
        ] {
            check(other, None);
        }
    }
}
