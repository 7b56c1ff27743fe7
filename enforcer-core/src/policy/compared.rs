// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which texts a rule compares with which facts.
//!
//! Cedar knows that `context.detected` is a set of texts; that there is no detector of a misspelt name, it
//! cannot know. Read from Cedar's own tree, so no way of writing a comparison is overlooked that compares a
//! fact with literals directly. Texts that are computed or compared by `like` are not checked.

use std::collections::BTreeSet;

use serde_json::Value;

/// Texts of a rule that are compared with a fact, and facts it asks for with `has`.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) texts: BTreeSet<(String, String)>,
    pub(super) asked: BTreeSet<String>,
}

impl Compared {
    pub(super) fn walk(&mut self, tree: &Value) {
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

fn is_context(tree: &Value) -> bool {
    tree.get("Var").and_then(Value::as_str) == Some("context")
}

fn fact_name(tree: &Value) -> Option<String> {
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
