// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Conditions of one rule that exclude each other.
//!
//! Cedar's validator finds conditions that are false by type. This looks at what is joined by `&&` in `when`:
//! bounds of a number that leave none, and lists of texts that have none in common. It errs towards silence:
//! what it does not understand could hold.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::Policy;
use serde_json::Value;

use super::super::decide::comparison::{Comparison, With, conjuncts};

/// What may still be the value of a fact.
#[derive(Debug)]
struct Room {
    least: i64,
    most: i64,
    /// None: any text.
    texts: Option<BTreeSet<String>>,
}

impl Default for Room {
    fn default() -> Self {
        Self { least: i64::MIN, most: i64::MAX, texts: None }
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
pub(in crate::policy) fn find(rule: &Policy) -> Option<String> {
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
    let comparisons = conjuncts(body).into_iter().filter_map(Comparison::read);
    comparisons.filter(|read| !read.is_not).for_each(|comparison| compare(comparison, rooms));
}

fn compare(comparison: Comparison, rooms: &mut BTreeMap<String, Room>) {
    let room = rooms.entry(comparison.fact).or_default();
    match comparison.with {
        With::Range(range) => {
            room.least = room.least.max(*range.start());
            room.most = room.most.min(*range.end());
        }
        With::OneOf(texts) => room.only(texts),
        With::Member(_) | With::True => {}
    }
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
