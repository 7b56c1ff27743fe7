// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the conditions of a rule come to when only one fact of a request is known.
//!
//! Kleene's logic over Cedar's own tree: true, false, or nobody knows. It errs towards not knowing: what is not a
//! comparison of that fact with literals could be either.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use serde_json::Value;

use super::super::decide::compared::fact_name;

/// A fact that is a set of texts, and what is in it.
#[derive(Debug)]
pub(super) struct Known<'k> {
    /// Its name.
    pub(in crate::policy) fact: &'k str,
    /// Its members.
    pub(in crate::policy) members: BTreeSet<&'k str>,
}

impl Known<'_> {
    /// Whether the conditions of a rule hold; nothing if that depends on other facts.
    pub(in crate::policy) fn holds(&self, rule: &Policy) -> Option<bool> {
        let tree = rule.to_json().ok()?;
        let conditions = tree.get("conditions")?.as_array()?;
        let each = conditions.iter().map(|condition| {
            let body = condition.get("body").and_then(|body| self.value(body));
            let is_unless = condition.get("kind").and_then(Value::as_str) == Some("unless");
            body.map(|body| body != is_unless)
        });
        each.fold(Some(true), and)
    }

    fn value(&self, tree: &Value) -> Option<bool> {
        if let Some(Value::Bool(value)) = tree.get("Value") {
            return Some(*value);
        }
        let (operator, operands) = tree.as_object()?.iter().next()?;
        let operand = |name: &str| operands.get(name);
        let of = |name: &str| operand(name).and_then(|tree| self.value(tree));
        match operator.as_str() {
            "!" => of("arg").map(|value| !value),
            "&&" => and(of("left"), of("right")),
            "||" => and(of("left").map(|it| !it), of("right").map(|it| !it)).map(|it| !it),
            "if-then-else" => match of("if") {
                Some(true) => of("then"),
                Some(false) => of("else"),
                None => of("then").filter(|value| of("else") == Some(*value)),
            },
            "isEmpty" => {
                let is_it = operand("arg").is_some_and(|tree| self.is_fact(tree));
                is_it.then_some(self.members.is_empty())
            }
            operator => self.compared(operator, operand("left")?, operand("right")?),
        }
    }

    /// A comparison of two sets, or of a set with one text.
    fn compared(&self, operator: &str, left: &Value, right: &Value) -> Option<bool> {
        let (left, right) = match (self.is_fact(left), self.is_fact(right)) {
            (true, false) => (self.members.clone(), literals(right)?),
            (false, true) => (literals(left)?, self.members.clone()),
            (true, true) | (false, false) => return None,
        };
        match operator {
            "contains" | "containsAll" => Some(left.is_superset(&right)),
            "containsAny" => Some(!left.is_disjoint(&right)),
            "==" => Some(left == right),
            "!=" => Some(left != right),
            _ => None,
        }
    }

    fn is_fact(&self, tree: &Value) -> bool {
        fact_name(tree).is_some_and(|name| name == self.fact)
    }
}

fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        (None, Some(true) | None) | (Some(true), None) => None,
    }
}

fn text(tree: &Value) -> Option<&str> {
    tree.get("Value")?.as_str()
}

/// The texts of a literal: one, or a set.
fn literals(tree: &Value) -> Option<BTreeSet<&str>> {
    match tree.get("Set").and_then(Value::as_array) {
        Some(items) => items.iter().map(text).collect(),
        None => Some(BTreeSet::from([text(tree)?])),
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::PolicyId;

    use super::*;

    #[test]
    fn what_one_fact_decides_is_known_and_nothing_else() {
        let check = |condition: &str, expect: Option<bool>| {
            let known = Known { fact: "parts", members: BTreeSet::from(["text", "file"]) };
            let text = format!("permit (principal, action, resource) {condition};");
            let rule = Policy::parse(Some(PolicyId::new("r")), text).unwrap();
            assert_eq!(known.holds(&rule), expect, "{condition}");
        };
        check("", Some(true));
        check("when { [\"text\", \"refusal\"].containsAll(context.parts) }", Some(false));
        check("unless { [\"text\", \"refusal\"].containsAll(context.parts) }", Some(true));
        check("when { context.parts.contains(\"file\") }", Some(true));
        check("when { !context.parts.containsAny([\"file\", \"image_url\"]) }", Some(false));
        check("when { context.parts == [\"text\"] || context.n > 1 }", None);
        check("when { context.parts == [\"text\"] && context.n > 1 }", Some(false));
        check("when { context.parts.isEmpty() } when { context.n > 1 }", Some(false));
        check("when { context.n > 1 } unless { context.parts.contains(\"file\") }", Some(false));
        check("when { if context.n > 1 then context.parts.isEmpty() else false }", Some(false));
        check("when { if context.stream then true else context.n > 1 }", None);
        check("when { [context.model].containsAll(context.parts) }", None);
        check("when { context.tools.contains(\"file\") }", None);
    }
}
