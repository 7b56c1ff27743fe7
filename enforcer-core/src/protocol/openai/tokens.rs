// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Counts the tokens of a request before it is sent.
//!
//! Messages are counted as OpenAI documents it; neighboring text parts of one are one text. Everything else
//! counts with all its names, strings, numbers and words of JSON, known to the API or not, which errs to
//! more: no text goes uncounted because of where it stands, and no request has fewer tokens than one for
//! [`TEXT_BYTES_PER_TOKEN_MAX`](crate::model::limits::TEXT_BYTES_PER_TOKEN_MAX) bytes of these. Only the payloads of images, audio and files are not counted.
//! For models without a public vocabulary it is an estimate. The provider's own `usage` is the only truth
//! for accounting.

use bpe_openai::Tokenizer;

use crate::protocol::body::media_type;
use crate::protocol::json_tree::Node;
use crate::protocol::tokens::{at_least, members, text_bytes, text_tokens};

use super::tables::{self, PART_PAYLOADS};

/// Tokens around each message.
const MESSAGE_TOKENS: usize = 3;
/// Tokens before a name, and before the answer.
const NAME_TOKENS: usize = 1;
const ANSWER_TOKENS: usize = 3;
/// Members of a content part that are its text.
const TEXT_MEMBERS: [&str; 2] = ["text", "refusal"];
/// Models that use the older vocabulary, unless a newer family has the same beginning.
const OLD_MODELS: [&str; 6] =
    ["babbage-002", "davinci-002", "gpt-3.5", "gpt-35", "gpt-4", "text-embedding-"];
const NEW_FAMILIES: [&str; 4] = ["gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-4-omni"];

/// Tokens of a request that was found to be valid.
pub(super) fn count(model: &str, body: &Node<'_>) -> i64 {
    let tokenizer = tokenizer(model);
    let member = |name: &str, node: &Node<'_>| match (name, node) {
        ("model", _) => 0,
        ("messages", Node::Array(messages)) => {
            messages.iter().map(|message| message_tokens(tokenizer, message)).sum()
        }
        // Settings.
        (_, Node::Number(_) | Node::Bool(_) | Node::Null) => tokenizer.count(name),
        _ => tokenizer.count(name) + text_tokens(tokenizer, node),
    };
    let tokens = members(body, member) + ANSWER_TOKENS;
    let bytes = text_bytes(body).saturating_sub(payload_bytes(body));
    at_least(tokens, bytes)
}

/// Tokens of a request of the Responses API that was found to be valid: each item of the input is counted like a
/// message, and the words and names of the API in it are not counted. Everything else is.
pub(super) fn count_items(model: &str, body: &Node<'_>) -> i64 {
    let tokenizer = tokenizer(model);
    let items = body.at("input").and_then(Node::items).map_or(1, <[_]>::len);
    let member = |name: &str, node: &Node<'_>| match (name, node) {
        ("model", _) => 0,
        // Settings.
        (_, Node::Number(_) | Node::Bool(_) | Node::Null) => tokenizer.count(name),
        _ => item_tokens(tokenizer, name, node),
    };
    let tokens = members(body, member) + items * MESSAGE_TOKENS + ANSWER_TOKENS;
    let bytes = text_bytes(body).saturating_sub(item_payload_bytes("", body));
    at_least(tokens, bytes)
}

/// Members of items whose names are the API's own and part of no text.
const ITEM_MEMBERS: [&str; 8] =
    ["arguments", "content", "input", "instructions", "output", "summary", "text", "tools"];
/// Members of items that hold payloads.
const ITEM_PAYLOADS: [&str; 5] = ["data", "encrypted_content", "file_data", "image_url", "result"];

fn is_item_payload(name: &str, text: &str) -> bool {
    ITEM_PAYLOADS.contains(&name) && media_type(text).is_some()
}

/// Tokens of a member, its name included.
fn item_tokens(tokenizer: &Tokenizer, name: &str, node: &Node<'_>) -> usize {
    let is_word = |text: &str| {
        matches!(name, "type" | "role" | "status") && tables::TYPED.words.contains(&text)
    };
    let own = if ITEM_MEMBERS.contains(&name) { 0 } else { tokenizer.count(name) };
    match node {
        Node::String(text) if is_word(text) || is_item_payload(name, text) => 0,
        Node::Array(items) => {
            let item = |item: &Node<'_>| item_tokens(tokenizer, "content", item);
            own + items.iter().map(item).sum::<usize>().max(1)
        }
        Node::Object(_) => {
            own + members(node, |name, node| item_tokens(tokenizer, name, node)).max(1)
        }
        node => own + text_tokens(tokenizer, node),
    }
}

/// Bytes of payloads, however deep.
fn item_payload_bytes(name: &str, node: &Node<'_>) -> usize {
    match node {
        Node::String(text) if is_item_payload(name, text) => text.len(),
        Node::Array(items) => items.iter().map(|item| item_payload_bytes("", item)).sum(),
        Node::Object(_) => members(node, item_payload_bytes),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => 0,
    }
}

/// Bytes of the payloads in content parts.
fn payload_bytes(body: &Node<'_>) -> usize {
    let messages = body.at("messages").and_then(Node::items).unwrap_or_default();
    let contents = messages.iter().filter_map(|message| message.at("content")?.items());
    let payloads = contents.flatten().flat_map(|part| {
        let held = |(kind, field): (&str, &str)| part.at(kind)?.at(field)?.text();
        PART_PAYLOADS.into_iter().filter_map(held)
    });
    payloads.filter(|text| media_type(text).is_some()).map(str::len).sum()
}

/// The vocabulary of a model that takes token numbers, if it is known for certain (github.com/openai/tiktoken,
/// `tiktoken/model.py`).
pub(super) fn vocabulary(model: &str) -> Option<&'static Tokenizer> {
    const MODELS: [&str; 5] = [
        "babbage-002",
        "davinci-002",
        "gpt-3.5-turbo",
        "text-embedding-3-",
        "text-embedding-ada-002",
    ];
    let base = model.strip_prefix("ft:").unwrap_or(model);
    MODELS.iter().any(|known| base.starts_with(known)).then(bpe_openai::cl100k_base)
}

fn tokenizer(model: &str) -> &'static Tokenizer {
    // A fine-tuned model: `ft:BASE:ORGANIZATION:…`.
    let base = model.strip_prefix("ft:").unwrap_or(model);
    let has = |prefixes: &[&str]| prefixes.iter().any(|prefix| base.starts_with(prefix));
    if has(&OLD_MODELS) && !has(&NEW_FAMILIES) {
        bpe_openai::cl100k_base()
    } else {
        bpe_openai::o200k_base()
    }
}

fn message_tokens(tokenizer: &Tokenizer, message: &Node<'_>) -> usize {
    let member = |name: &str, node: &Node<'_>| match (name, node) {
        ("content" | "refusal" | "tool_calls" | "function_call" | "audio", Node::Null) => 0,
        ("content", _) => content_tokens(tokenizer, node),
        ("name", _) => text_tokens(tokenizer, node) + NAME_TOKENS,
        ("role" | "refusal" | "tool_calls" | "tool_call_id" | "function_call" | "audio", _) => {
            text_tokens(tokenizer, node)
        }
        _ => tokenizer.count(name) + text_tokens(tokenizer, node),
    };
    MESSAGE_TOKENS + members(message, member)
}

fn content_tokens(tokenizer: &Tokenizer, content: &Node<'_>) -> usize {
    let Some(parts) = content.items() else { return text_tokens(tokenizer, content) };
    let (mut tokens, mut text) = (0, String::new());
    for part in parts {
        if PART_PAYLOADS.iter().any(|(kind, _)| part.at(kind).is_some()) {
            tokens += tokenizer.count(text.as_str());
            text.clear();
        }
        for name in TEXT_MEMBERS {
            text.push_str(part.at(name).and_then(Node::text).unwrap_or_default());
        }
        tokens += part_tokens(tokenizer, part);
    }
    tokens + tokenizer.count(text.as_str())
}

/// Tokens of a part, except of its text. An image is no text, however long it is; what stands beside it is.
fn part_tokens(tokenizer: &Tokenizer, part: &Node<'_>) -> usize {
    let is_known = |kind: &str| {
        TEXT_MEMBERS.contains(&kind) || PART_PAYLOADS.iter().any(|part| part.0 == kind)
    };
    let member = |name: &str, node: &Node<'_>| match (name, node) {
        ("type", Node::String(kind)) if is_known(kind) => 0,
        ("text" | "refusal", Node::String(_)) => 0,
        ("text" | "refusal", node) => text_tokens(tokenizer, node),
        (_, Node::Object(_)) => {
            tokenizer.count(name)
                + members(node, |field, node| {
                    let is_payload = PART_PAYLOADS.contains(&(name, field))
                        && node.text().is_some_and(|text| media_type(text).is_some());
                    if is_payload {
                        0
                    } else {
                        tokenizer.count(field) + text_tokens(tokenizer, node)
                    }
                })
        }
        _ => tokenizer.count(name) + text_tokens(tokenizer, node),
    };
    members(part, member)
}
