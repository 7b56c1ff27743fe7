// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Counts the tokens and bytes of any JSON: with all its names, strings, numbers and words, which errs to more.

use bpe_openai::Tokenizer;

use crate::model::limits::TEXT_BYTES_PER_TOKEN_MAX;

use super::json_tree::Node;

/// The tokens of a request, but no fewer than one for [`TEXT_BYTES_PER_TOKEN_MAX`] bytes of its text.
pub(super) fn at_least(tokens: usize, text_bytes: usize) -> i64 {
    let floor = (text_bytes as u64).div_ceil(TEXT_BYTES_PER_TOKEN_MAX);
    i64::try_from(floor.max(tokens as u64)).unwrap_or(i64::MAX)
}

/// Bytes of everything that is no bracket, sign or space.
pub(super) fn text_bytes(node: &Node<'_>) -> usize {
    match node {
        Node::String(text) => text.len(),
        Node::Number(number) => number.to_string().len(),
        Node::Array(items) => items.iter().map(text_bytes).sum(),
        Node::Object(_) => members(node, |name, node| name.len() + text_bytes(node)),
        Node::Null => "null".len(),
        Node::Bool(is_true) => is_true.to_string().len(),
    }
}

/// The sum over all members of an object; what is no object has none.
pub(super) fn members(node: &Node<'_>, mut tokens: impl FnMut(&str, &Node<'_>) -> usize) -> usize {
    let Node::Object(members) = node else { return 0 };
    members.iter().map(|(name, node)| tokens(name, node)).sum()
}

/// Tokens of a value.
pub(super) fn text_tokens(tokenizer: &Tokenizer, node: &Node<'_>) -> usize {
    match node {
        Node::String(text) => tokenizer.count(text.as_ref()),
        Node::Number(number) => tokenizer.count(&number.to_string()),
        Node::Array(items) => {
            items.iter().map(|item| text_tokens(tokenizer, item)).sum::<usize>().max(1)
        }
        Node::Object(_) => {
            let member =
                |name: &str, node: &Node<'_>| tokenizer.count(name) + text_tokens(tokenizer, node);
            members(node, member).max(1)
        }
        Node::Null | Node::Bool(_) => 1,
    }
}
