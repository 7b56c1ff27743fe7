// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which texts a rule compares with which facts.
//!
//! Cedar knows that `context.detected` is a set of texts; that there is no detector of a misspelt name, it
//! cannot know. Read from Cedar's own tree, so no way of writing a comparison is overlooked that compares a
//! fact with literals directly. Texts that are computed or compared by `like` are not checked.

use std::collections::BTreeSet;

use cedar_policy::Policy as CedarPolicy;
use serde_json::Value;

use super::super::load::schema::DETECTED;

/// Texts of a rule that are compared with a fact, and facts it asks for with `has`.
#[derive(Debug, Default)]
pub(in crate::policy) struct Compared {
    pub(in crate::policy) texts: BTreeSet<(String, String)>,
    pub(in crate::policy) asked: BTreeSet<String>,
}

impl Compared {
    pub(in crate::policy) fn walk(&mut self, tree: &Value) {
        match tree {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(fields) => {
                for (operator, value) in fields {
                    self.look_at(operator, value);
                    self.walk(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn look_at(&mut self, operator: &str, operands: &Value) {
        let (left, right) = (operands.get("left"), operands.get("right"));
        match operator {
            "==" | "!=" | "contains" | "containsAll" | "containsAny" => {
                for (fact, other) in [(left, right), (right, left)] {
                    let Some(fact) = fact.and_then(fact_name) else { continue };
                    let mut texts = Vec::new();
                    if let Some(other) = other {
                        collect_texts(other, &mut texts);
                    }
                    self.texts.extend(texts.into_iter().map(|text| (fact.clone(), text)));
                }
            }
            "has" if left.is_some_and(is_context) => {
                let name = operands.get("attr").and_then(Value::as_str);
                self.asked.extend(name.map(str::to_owned));
            }
            _ => {}
        }
    }
}

/// What a rule reads of the facts. Errs to more: what is not recognized counts as everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::policy) struct Reads {
    /// Names of facts.
    pub(in crate::policy) facts: BTreeSet<String>,
    /// Detectors whose findings are asked for by name.
    pub(in crate::policy) detectors: BTreeSet<String>,
    /// All findings of detectors count.
    pub(super) all_detectors: bool,
    /// All facts count.
    pub(in crate::policy) all_facts: bool,
}

impl Reads {
    /// What the conditions of a rule read.
    pub(in crate::policy) fn of(rule: &CedarPolicy) -> Self {
        let mut reads = Self::default();
        match rule.to_json() {
            Ok(tree) => {
                if let Some(conditions) = tree.get("conditions") {
                    reads.walk(conditions);
                }
            }
            Err(_unreadable) => {
                reads.all_facts = true;
                reads.all_detectors = true;
            }
        }
        reads
    }

    pub(in crate::policy) fn join(&mut self, other: &Self) {
        self.facts.extend(other.facts.iter().cloned());
        self.detectors.extend(other.detectors.iter().cloned());
        self.all_detectors |= other.all_detectors;
        self.all_facts |= other.all_facts;
    }

    pub(in crate::policy) fn walk(&mut self, tree: &Value) {
        if is_context(tree) {
            self.all_facts = true;
            self.all_detectors = true;
            return;
        }
        if let Some(names) = asked_detectors(tree) {
            self.facts.insert(DETECTED.to_owned());
            self.detectors.extend(names);
            return;
        }
        let access = tree.get(".").or_else(|| tree.get("has"));
        let attribute = access.and_then(|access| access.get("attr")).and_then(Value::as_str);
        if let (Some(access), Some(name)) = (access, attribute)
            && access.get("left").is_some_and(is_context)
        {
            self.all_detectors |= name == DETECTED && tree.get(".").is_some();
            self.facts.insert(name.to_owned());
            return;
        }
        match tree {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(fields) => fields.values().for_each(|value| self.walk(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// The names in `context.detected.contains("NAME")` and its kin, if this is one with nothing but literals.
fn asked_detectors(tree: &Value) -> Option<Vec<String>> {
    let call = ["contains", "containsAll", "containsAny"].iter().find_map(|name| tree.get(name))?;
    if call.get("left").and_then(fact_name).as_deref() != Some(DETECTED) {
        return None;
    }
    let right = call.get("right")?;
    let items = match right.get("Set").and_then(Value::as_array) {
        Some(items) => items.iter().collect(),
        None => vec![right],
    };
    let text = |item: &&Value| Some(item.get("Value")?.as_str()?.to_owned());
    items.iter().map(text).collect()
}

fn is_context(tree: &Value) -> bool {
    tree.get("Var").and_then(Value::as_str) == Some("context")
}

pub(in crate::policy) fn fact_name(tree: &Value) -> Option<String> {
    let access = tree.get(".")?;
    let name = access.get("attr")?.as_str()?;
    access.get("left").is_some_and(is_context).then(|| name.to_owned())
}

fn collect_texts(tree: &Value, texts: &mut Vec<String>) {
    if let Some(Value::String(text)) = tree.get("Value") {
        texts.push(text.clone());
    }
    if let Some(Value::Array(items)) = tree.get("Set") {
        items.iter().for_each(|item| collect_texts(item, texts));
    }
}
