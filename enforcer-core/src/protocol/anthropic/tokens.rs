// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Estimates the tokens of a message before it is sent: the vocabulary of these models is not public.
//!
//! Everything counts with all its names, strings, numbers and words of JSON, which errs to more; only the payloads of
//! images and documents, signatures and encrypted reasoning are not counted. The provider's own `usage` is the only
//! truth for accounting.

use bpe_openai::Tokenizer;

use crate::protocol::body::media_type;
use crate::protocol::json_tree::Node;
use crate::protocol::tokens::{at_least, members, text_bytes, text_tokens};

/// Tokens around each message.
const MESSAGE_TOKENS: usize = 3;
/// Members in which payloads stand: in `source`, beside thoughts, and in what only the provider can read.
const PAYLOADS: [&str; 4] = ["data", "encrypted_content", "encrypted_stdout", "signature"];

/// Tokens of a request that was found to be valid.
pub(super) fn count(body: &Node<'_>) -> i64 {
    let tokenizer = bpe_openai::o200k_base();
    let messages = body.at("messages").and_then(Node::items).map_or(0, <[Node<'_>]>::len);
    let member = |name: &str, node: &Node<'_>| match (name, node) {
        ("model", _) => 0,
        // Settings.
        (_, Node::Number(_) | Node::Bool(_) | Node::Null) => tokenizer.count(name),
        _ => tokenizer.count(name) + without_payloads(tokenizer, node),
    };
    let tokens = members(body, member) + messages.saturating_mul(MESSAGE_TOKENS);
    at_least(tokens, text_bytes(body).saturating_sub(payload_bytes(body)))
}

fn without_payloads(tokenizer: &Tokenizer, node: &Node<'_>) -> usize {
    match node {
        Node::Array(items) => items.iter().map(|item| without_payloads(tokenizer, item)).sum(),
        Node::Object(_) => members(node, |name, node| {
            let value = if is_payload(name, node) { 0 } else { without_payloads(tokenizer, node) };
            tokenizer.count(name) + value
        }),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => {
            text_tokens(tokenizer, node)
        }
    }
}

fn payload_bytes(node: &Node<'_>) -> usize {
    match node {
        Node::Array(items) => items.iter().map(payload_bytes).sum(),
        Node::Object(_) => members(node, |name, node| match node.text() {
            Some(payload) if is_payload(name, node) => payload.len(),
            _ => payload_bytes(node),
        }),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => 0,
    }
}

fn is_payload(name: &str, node: &Node<'_>) -> bool {
    PAYLOADS.contains(&name) && node.text().is_some_and(|text| media_type(text).is_some())
}
