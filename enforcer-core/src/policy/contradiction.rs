// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Conditions of one rule that exclude each other.
//!
//! Cedar's validator finds conditions that are false by type. This looks at what is joined by `&&` in `when`:
//! bounds of a number that leave none, and lists of texts that have none in common. It errs towards silence:
//! what it does not understand could hold.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::Policy;
use serde_json::Value;

/// What may still be the value of a fact.
#[derive(Debug)]
struct Room {
    least: i128,
    most: i128,
    /// None: any text.
    texts: Option<BTreeSet<String>>,
}

impl Default for Room {
    fn default() -> Self {
        Self { least: i128::from(i64::MIN), most: i128::from(i64::MAX), texts: None }
    }
}

impl Room {
    fn is_empty(&self) -> bool {
        self.least > self.most || self.texts.as_ref().is_some_and(BTreeSet::is_empty)
    }

    fn only(&mut self, texts: BTreeSet<String>) {
        self.texts = Some(match self.texts.take() {
            None => texts,
            Some(before) => before.intersection(&texts).cloned().collect(),
        });
    }
}

/// A fact for which a rule leaves no value.
pub(super) fn find(rule: &Policy) -> Option<String> {
    let tree = rule.to_json().ok()?;
    let mut rooms: BTreeMap<String, Room> = BTreeMap::new();
    for condition in tree.get("conditions")?.as_array()? {
        if condition.get("kind").and_then(Value::as_str) == Some("when") {
            narrow(condition.get("body")?, &mut rooms);
        }
    }
    rooms.into_iter().find(|(_, room)| room.is_empty()).map(|(fact, _)| fact)
}

fn narrow(body: &Value, rooms: &mut BTreeMap<String, Room>) {
    let mut open = vec![body];
    while let Some(part) = open.pop() {
        let Some((operator, operands)) = part.as_object().and_then(|part| part.iter().next())
        else {
            continue;
        };
        let (left, right) = (operands.get("left"), operands.get("right"));
        if operator == "&&" {
            open.extend(left.into_iter().chain(right));
        } else if let (Some(left), Some(right)) = (left, right) {
            compare(operator, left, right, rooms);
        }
    }
}

fn compare(operator: &str, left: &Value, right: &Value, rooms: &mut BTreeMap<String, Room>) {
    let number = |value: &Value| Some(i128::from(value.get("Value")?.as_i64()?));
    let turned = match operator {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        same => same,
    };
    for (operator, fact, other) in [(operator, left, right), (turned, right, left)] {
        let Some(name) = fact_name(fact) else { continue };
        let room = rooms.entry(name).or_default();
        match (operator, number(other), text(other)) {
            ("<", Some(most), _) => room.most = room.most.min(most - 1),
            ("<=", Some(most), _) => room.most = room.most.min(most),
            (">", Some(least), _) => room.least = room.least.max(least + 1),
            (">=", Some(least), _) => room.least = room.least.max(least),
            ("==", Some(only), _) => {
                room.least = room.least.max(only);
                room.most = room.most.min(only);
            }
            ("==", None, Some(only)) => room.only(BTreeSet::from([only])),
            _ => {}
        }
    }
    let items = left.get("Set").and_then(Value::as_array);
    if let ("contains", Some(items), Some(name)) = (operator, items, fact_name(right)) {
        let texts: Option<BTreeSet<String>> = items.iter().map(text).collect();
        if let Some(texts) = texts {
            rooms.entry(name).or_default().only(texts);
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.get("Value")?.as_str().map(str::to_owned)
}

fn fact_name(tree: &Value) -> Option<String> {
    let access = tree.get(".")?;
    let is_context = access.get("left")?.get("Var")?.as_str()? == "context";
    is_context.then(|| access.get("attr")?.as_str().map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use cedar_policy::{Policy, PolicyId};

    use super::find;

    #[test]
    fn bounds_and_lists_that_leave_nothing_are_found_and_others_are_not() {
        let check = |condition: &str, expect: Option<&str>| {
            let text = format!("permit (principal, action, resource) {condition};");
            let rule = Policy::parse(Some(PolicyId::new("r")), text).unwrap();
            assert_eq!(find(&rule).as_deref(), expect, "{condition}");
        };
        check("when { context.n > 5 && context.n < 5 }", Some("n"));
        check("when { context.n >= 5 && 5 >= context.n }", None);
        check("when { context.n > 5 } when { 6 > context.n }", Some("n"));
        check("when { context.n == 5 && context.n == 6 }", Some("n"));
        check("when { context.m == \"a\" && context.m == \"b\" }", Some("m"));
        check("when { [\"a\", \"b\"].contains(context.m) && context.m == \"b\" }", None);
        check("when { [\"a\"].contains(context.m) && [\"b\"].contains(context.m) }", Some("m"));
        check("when { context.m == \"a\" || context.m == \"b\" }", None);
        check("when { context.n > 5 } unless { context.n > 5 }", None);
        check("when { [\"a\", context.k].contains(context.m) && context.m == \"b\" }", None);
        check("", None);
    }
}
