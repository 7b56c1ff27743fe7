// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plain comparisons of a fact with literals: what most conditions are made of.
//!
//! `context.tools.contains("mail")`, `context.model == "o3"`, `context.input_tokens <= 4000`. They are read from
//! Cedar's own tree, and Cedar need not be asked about them, which costs ten times as much. Errs towards asking:
//! what is not recognized is no plain comparison, and of a fact that is not there nothing is said.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use cedar_policy::Policy as CedarPolicy;
use serde_json::Value;

use crate::model::Facts;

use super::super::load::schema::{self, Fact};

/// One part of a condition, joined to the others by `&&`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Comparison {
    /// `context.NAME`.
    pub(in crate::policy) fact: String,
    /// What it has to be.
    pub(in crate::policy) with: With,
    /// It must not be that.
    pub(in crate::policy) is_not: bool,
}

/// What a fact is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) enum With {
    /// A set that holds this text.
    Member(String),
    /// One of these texts.
    OneOf(BTreeSet<String>),
    /// A number between these.
    Range(RangeInclusive<i64>),
    /// True.
    True,
}

impl Comparison {
    /// Reads a part of Cedar's tree; nothing comes back if it is anything else.
    pub(in crate::policy) fn read(part: &Value) -> Option<Self> {
        let mut part = part;
        let mut is_not = false;
        while let Some(not) = part.get("!") {
            part = not.get("arg")?;
            is_not = !is_not;
        }
        if let Some(fact) = fact(part) {
            return Some(Self { fact, with: With::True, is_not });
        }
        let (operator, operands) = part.as_object()?.iter().next()?;
        let (left, right) = (operands.get("left")?, operands.get("right")?);
        let (fact, with) = match (fact(left), fact(right)) {
            (Some(fact), None) if operator == "contains" => (fact, With::Member(text(right)?)),
            (None, Some(fact)) if operator == "contains" => {
                let texts = left.get("Set")?.as_array()?.iter().map(text);
                (fact, With::OneOf(texts.collect::<Option<_>>()?))
            }
            (Some(fact), None) => (fact, With::literal(operator, right)?),
            (None, Some(fact)) => (fact, With::literal(turned(operator), left)?),
            _ => return None,
        };
        Some(Self { fact, with, is_not: is_not != (operator == "!=") })
    }

    /// Whether it holds. Of a fact that is not there, or not of the kind, nothing is said.
    fn holds(&self, facts: &Facts) -> Option<bool> {
        let is = match (&self.with, schema::fact_of(facts, &self.fact)?) {
            (With::Member(text), Fact::Texts(texts)) => texts.contains(text),
            (With::Member(text), Fact::Detectors(names)) => {
                names.iter().any(|name| name.as_str() == text)
            }
            (With::OneOf(texts), Fact::Text(text)) => texts.contains(text),
            (With::Range(range), Fact::Long(number)) => range.contains(&number),
            (With::True, Fact::Bool(is)) => is,
            _ => return None,
        };
        Some(is != self.is_not)
    }
}

impl With {
    /// What `context.NAME OPERATOR LITERAL` compares with, for `!=` what it must not be.
    fn literal(operator: &str, literal: &Value) -> Option<Self> {
        if let ("==" | "!=", Some(text)) = (operator, text(literal)) {
            return Some(Self::OneOf(BTreeSet::from([text])));
        }
        let number = literal.get("Value")?.as_i64()?;
        Some(Self::Range(match operator {
            "==" | "!=" => number..=number,
            "<" => i64::MIN..=number.checked_sub(1)?,
            "<=" => i64::MIN..=number,
            ">" => number.checked_add(1)?..=i64::MAX,
            ">=" => number..=i64::MAX,
            _ => return None,
        }))
    }
}

/// What of the conditions of a rule are plain comparisons, from the left.
///
/// Cedar looks at the parts of `&&` from left to right and stops at one that does not hold: where one of these does
/// not, the rule is not satisfied and cannot err, whatever follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Plain {
    parts: Vec<Comparison>,
    /// Nothing follows them. Cedar is asked all the same if a fact is not there, and then it errs.
    pub(super) is_all: bool,
}

impl Plain {
    pub(in crate::policy) fn of(rule: &CedarPolicy) -> Self {
        let tree = rule.to_json().unwrap_or_default();
        let mut parts = Vec::new();
        let is_all = Self::take(&tree, &mut parts).is_some();
        Self { parts, is_all }
    }

    /// Takes parts until one is something else; then nothing comes back.
    fn take(tree: &Value, parts: &mut Vec<Comparison>) -> Option<()> {
        for condition in tree.get("conditions")?.as_array()? {
            let body = condition.get("body")?;
            match condition.get("kind")?.as_str()? {
                "when" => {
                    for part in conjuncts(body) {
                        parts.push(Comparison::read(part)?);
                    }
                }
                "unless" => {
                    let Comparison { fact, with, is_not } = Comparison::read(body)?;
                    parts.push(Comparison { fact, with, is_not: !is_not });
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// Whether the conditions of the rule hold; nothing if Cedar has to be asked.
    pub(in crate::policy) fn holds(&self, facts: &Facts) -> Option<bool> {
        for part in &self.parts {
            if !part.holds(facts)? {
                return Some(false);
            }
        }
        self.is_all.then_some(true)
    }
}

/// The operator that says the same with its sides exchanged.
fn turned(operator: &str) -> &str {
    match operator {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        same => same,
    }
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

/// The parts of a condition that `&&` joins.
pub(in crate::policy) fn conjuncts(body: &Value) -> Vec<&Value> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(conditions: &str) -> Plain {
        let text = format!("permit (principal, action, resource) {conditions};");
        Plain::of(&text.parse().expect("a rule"))
    }

    fn comparison(is_not: bool, fact: &str, with: With) -> Comparison {
        Comparison { fact: fact.to_owned(), with, is_not }
    }

    #[test]
    fn a_plain_comparison_is_recognized_whichever_way_it_is_written() {
        let one_of =
            |texts: &[&str]| With::OneOf(texts.iter().map(|text| (*text).to_owned()).collect());
        let check = |condition: &str, is_not: bool, fact: &str, with: With| {
            let parts = vec![comparison(is_not, fact, with)];
            assert_eq!(plain(condition), Plain { parts, is_all: true }, "{condition}");
        };
        let mail = || With::Member("mail".to_owned());
        check("when { context.tools.contains(\"mail\") }", false, "tools", mail());
        check("unless { context.tools.contains(\"mail\") }", true, "tools", mail());
        check("unless { !(context.tools.contains(\"mail\")) }", false, "tools", mail());
        check("when { [\"a\", \"b\"].contains(context.m) }", false, "m", one_of(&["a", "b"]));
        check("when { \"GET\" == context.m }", false, "m", one_of(&["GET"]));
        check("when { context.m != \"GET\" }", true, "m", one_of(&["GET"]));
        check("when { !(\"GET\" != context.m) }", false, "m", one_of(&["GET"]));
        check("when { context.stream }", false, "stream", With::True);
        check("when { !context.stream }", true, "stream", With::True);
        let (min, max) = (i64::MIN, i64::MAX);
        check("when { context.n < 5 }", false, "n", With::Range(min..=4));
        check("when { 5 < context.n }", false, "n", With::Range(6..=max));
        check("when { context.n <= 5 }", false, "n", With::Range(min..=5));
        check("when { context.n > 5 }", false, "n", With::Range(6..=max));
        check("when { 5 >= context.n }", false, "n", With::Range(min..=5));
        check("when { context.n == 5 }", false, "n", With::Range(5..=5));
    }

    #[test]
    fn parts_are_taken_from_the_left_until_one_is_something_else() {
        let stream = || comparison(false, "stream", With::True);
        let check = |conditions: &str, count: usize, is_all: bool| {
            let parts = vec![stream(); count];
            assert_eq!(plain(conditions), Plain { parts, is_all }, "{conditions}");
        };
        let stream = "context.stream";
        check("", 0, true);
        check(&format!("when {{ {stream} && ({stream} && {stream}) }}"), 3, true);
        check(&format!("when {{ {stream} }} when {{ {stream} }}"), 2, true);
        check(&format!("when {{ {stream} && context.n + 1 > 2 && {stream} }}"), 1, false);
        check(&format!("when {{ {stream} }} unless {{ {stream} && {stream} }}"), 1, false);
        for other in [
            "context.m == \"a\" || true",
            "context.m == context.other",
            "context has m && context.m == \"a\"",
            "context.tools.containsAny([\"a\"])",
            "context.m like \"a*\"",
            "context.n < 9223372036854775807 + 1",
            "context.n > 9223372036854775807",
            "[\"a\", context.o].contains(context.m)",
            "if context.stream then context.stream else false",
            "principal == Agent::\"a\"",
            "context.stream == true",
            "context.inner.stream",
            "true",
        ] {
            check(&format!("when {{ {other} }}"), 0, false);
        }
    }
}
