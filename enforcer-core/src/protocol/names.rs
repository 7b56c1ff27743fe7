// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of models and tools, and members that two readers may take for one another.

use std::collections::BTreeSet;

use super::door::Asked;
use super::json_tree::Node;

/// Longest name of a model or a tool, in bytes; the APIs allow fewer.
const NAME_BYTES_MAX: usize = 256;

/// Whether some reader may take another member for one of these fields; true of what is no object.
pub(super) fn has_alias(body: &Node<'_>, fields: &[&str]) -> bool {
    let Node::Object(members) = body else { return true };
    let is_plain = |name: &str| {
        // `ſ` folds to `s` and the Kelvin sign to `k` in some readers, hence ASCII only.
        let is_alias = |field: &str| name.eq_ignore_ascii_case(field) && name != field;
        name.is_ascii() && !fields.iter().any(|field| is_alias(field))
    };
    !members.iter().all(|(name, _)| is_plain(name))
}

/// A name of a model or a tool.
pub(super) fn name(node: &Node<'_>) -> Option<String> {
    let name = node.text()?;
    (!name.is_empty() && name.len() <= NAME_BYTES_MAX).then(|| name.to_owned())
}

/// The model that answers: the one of the path where the API has it there, else the one of the body.
pub(super) fn model(asked: &Asked<'_>, body: &Node<'_>) -> Option<String> {
    match asked.model {
        Some(model) => Some(model.to_owned()),
        None => name(body.at("model")?),
    }
}

/// The only model that a body names, wherever it does: as a text, or as an object with its `id`. Empty if it names none;
/// nothing if it names several, since a rule could judge one of them only.
pub(super) fn only_model(body: &Node<'_>) -> Option<String> {
    let mut found = BTreeSet::new();
    collect_models(body, &mut found);
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (None, _) => Some(String::new()),
        (Some(model), None) => (model.len() <= NAME_BYTES_MAX).then(|| model.to_owned()),
        (Some(_), Some(_)) => None,
    }
}

fn collect_models<'n>(node: &'n Node<'_>, found: &mut BTreeSet<&'n str>) {
    match node {
        Node::Object(members) => {
            for (name, node) in members {
                if name == "model" {
                    found.extend(node.text().or_else(|| node.at("id").and_then(Node::text)));
                }
                collect_models(node, found);
            }
        }
        Node::Array(items) => items.iter().for_each(|item| collect_models(item, found)),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => {}
    }
}

/// The same, where a request need not name one; empty then, and the provider takes its own.
pub(super) fn model_if_any(asked: &Asked<'_>, body: &Node<'_>) -> Option<String> {
    match (asked.model, body.set("model")) {
        (None, None) => Some(String::new()),
        _ => model(asked, body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_wherever_a_body_names_it_and_several_are_refused() {
        let check = |body: &str, expect: Option<&str>| {
            let body = Node::read(body.as_bytes()).expect("JSON");
            assert_eq!(only_model(&body).as_deref(), expect, "{body:?}");
        };
        check(r#"{"name":"x"}"#, Some(""));
        check(r#"{"model":"a"}"#, Some("a"));
        check(r#"{"model":{"id":"a"}}"#, Some("a"));
        check(r#"{"agent":{"type":"with_overrides","model":"a"}}"#, Some("a"));
        check(r#"{"criteria":[{"model":"a"},{"model":"a"}]}"#, Some("a"));
        check(r#"{"model":"a","grader":{"model":"b"}}"#, None);
        check(r#"{"parameters":{"model":{"type":"string"}}}"#, Some(""));
    }
}
