// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How much an answer says, for accounting: independent of what is masked, and of what the provider reports.
//!
//! Counts the bytes of all strings, numbers and unknown names, less a small allowance for what the API itself puts
//! around a text. Errs to more: what is not known counts as text. Payloads (sound, pictures) count little.

use crate::model::Passed;
use crate::protocol::body::{is_base64, media_type};
use crate::protocol::json_tree::Node;

/// Bytes of a payload that count as one: far more of them stand for one token than of text.
const PAYLOAD_BYTES: u64 = 64;
/// How often a list of token probabilities repeats the answer: once, and 20 alternatives at most.
const PROBABILITY_REPEATS: u64 = 21;

/// Members whose names are the API's own.
const NAMES: [&str; 36] = [
    "annotations",
    "arguments",
    "audio",
    "b64_json",
    "choices",
    "code",
    "content",
    "content_filter_results",
    "created",
    "custom",
    "data",
    "delta",
    "error",
    "finish_reason",
    "function",
    "function_call",
    "id",
    "index",
    "input",
    "logprobs",
    "message",
    "model",
    "name",
    "native_finish_reason",
    "object",
    "obfuscation",
    "provider",
    "reasoning",
    "reasoning_content",
    "refusal",
    "role",
    "service_tier",
    "system_fingerprint",
    "text",
    "tool_calls",
    "type",
];

/// Bytes of a member that are no text of the answer.
fn allowance(name: &str) -> u64 {
    match name {
        "index" | "created" | "role" | "type" | "finish_reason" | "native_finish_reason" => 32,
        "id" | "object" | "model" | "system_fingerprint" | "service_tier" | "provider" => 128,
        "usage" | "obfuscation" | "content_filter_results" => 512,
        _ => 0,
    }
}

/// Bytes of text in a plain answer.
pub(super) fn text_bytes(body: &Node<'_>) -> u64 {
    bytes(body)
}

/// Adds an event of a stream.
pub(super) fn add_chunk(passed: &mut Passed, chunk: &Node<'_>) {
    let bytes = bytes(chunk);
    if bytes > 0 {
        passed.pieces = passed.pieces.saturating_add(1);
        passed.text_bytes = passed.text_bytes.saturating_add(bytes);
    }
}

/// Members of typed events and of their answers in which the answer stands; others repeat the request.
const ANSWERS: [&str; 10] = [
    "arguments",
    "code",
    "content",
    "content_block",
    "item",
    "output",
    "part",
    "refusal",
    "text",
    "transcript",
];

/// Bytes of text in a plain answer of an API with typed events.
pub(super) fn answer_bytes(body: &Node<'_>) -> u64 {
    let Node::Object(members) = body else { return bytes(body) };
    let member = |(name, node): &(std::borrow::Cow<'_, str>, Node<'_>)| match name.as_ref() {
        "message" | "response" => answer_bytes(node),
        // In an answer of the Responses API it says which form was asked for.
        "text" if matches!(node, Node::Object(_)) => 0,
        name if ANSWERS.contains(&name) => bytes(node),
        _ => 0,
    };
    members.iter().map(member).fold(0, u64::saturating_add)
}

/// Adds a typed event of a stream. What is said as a whole at the end was said in pieces before, or counts then.
pub(super) fn add_event(passed: &mut Passed, has_pieces: bool, event: &Node<'_>) {
    if has_pieces {
        let bytes = event.at("delta").map_or(0, bytes);
        passed.pieces = passed.pieces.saturating_add(u64::from(bytes > 0));
        passed.text_bytes = passed.text_bytes.saturating_add(bytes);
    } else {
        passed.text_bytes = passed.text_bytes.max(answer_bytes(event));
    }
}

fn bytes(node: &Node<'_>) -> u64 {
    match node {
        Node::Null | Node::Bool(_) => 0,
        Node::Number(number) => number.to_string().len() as u64,
        Node::String(text) => text.len() as u64,
        Node::Array(items) => items.iter().map(bytes).fold(0, u64::saturating_add),
        Node::Object(members) => {
            members.iter().map(|(name, node)| member(name, node)).fold(0, u64::saturating_add)
        }
    }
}

fn member(name: &str, node: &Node<'_>) -> u64 {
    let value = match (name, node) {
        ("logprobs", node) => bytes(node) / PROBABILITY_REPEATS,
        (
            "data" | "b64_json" | "encrypted_content" | "result" | "signature",
            Node::String(text),
        ) if is_base64(text) || media_type(text).is_some() => text.len() as u64 / PAYLOAD_BYTES,
        (name, node) => bytes(node).saturating_sub(allowance(name)),
    };
    let name = if NAMES.contains(&name) || allowance(name) > 0 { 0 } else { name.len() as u64 };
    value.saturating_add(name)
}
