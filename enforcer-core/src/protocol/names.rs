// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of models and tools, and members that two readers may take for one another.

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

/// The same, where a request need not name one; empty then, and the provider takes its own.
pub(super) fn model_if_any(asked: &Asked<'_>, body: &Node<'_>) -> Option<String> {
    match (asked.model, body.set("model")) {
        (None, None) => Some(String::new()),
        _ => model(asked, body),
    }
}
