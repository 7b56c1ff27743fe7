// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Chat completion requests.
//!
//! Strict: what this reader and the provider's might read differently has no facts and is `opaque`. So a
//! name that stands twice, a known name in another case, and a field of another type are refused.

use std::collections::BTreeSet;

use crate::model::{Chat, Operation};
use crate::protocol::door::Asked;
use crate::protocol::json_tree::Node;

use super::names::{has_alias, model, name};
use super::tables::PART_PAYLOADS;
use super::{fields, files, tokens};

/// Most tools of one request; the API allows fewer.
const TOOLS_MAX: usize = 1024;
/// Most types of content parts of one request; the API has five.
const PARTS_MAX: usize = 16;
/// The types of content parts of this API.
const KNOWN_PARTS: [&str; 5] = ["file", "image_url", "input_audio", "refusal", "text"];
/// Fields that facts are made from.
const FIELDS: [&str; 11] = [
    "model",
    "messages",
    "stream",
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "store",
];

/// The facts; `None` if a field is not what the API says.
pub(super) fn operation(asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    if fields::leads_elsewhere(body) || has_alias(body, &FIELDS) {
        return None;
    }
    let model = model(asked, body)?;
    let messages = body.at("messages")?.items()?;
    if !messages.iter().all(is_message) {
        return None;
    }
    let stream = match body.set("stream") {
        None => false,
        Some(Node::Bool(stream)) => *stream,
        Some(_) => return None,
    };
    Some(Operation::Chat(Chat {
        api: "chat_completions".to_owned(),
        input_tokens: tokens::count(&model, body),
        model,
        stream,
        message_count: i64::try_from(messages.len()).ok()?,
        tools: tools(body)?,
        tool_choice: tool_choice(body)?,
        parts: parts(messages)?,
        system: messages.iter().any(is_system),
        // A sound of an earlier answer is referred to by its id.
        previous: messages.iter().any(|message| message.set("audio").is_some()),
        files: files(messages)?,
        unknown: unknown(body, messages),
        max_tokens: max_tokens(body)?,
        n: fields::answer_count(body)?,
        store: fields::store(body)?,
    }))
}

fn is_message(message: &Node<'_>) -> bool {
    let is_content = |node: &Node<'_>| matches!(node, Node::String(_) | Node::Array(_));
    message.set("content").is_none_or(is_content)
        && message.at("role").is_some_and(|role| role.text().is_some())
}

/// Whether a message is of the system or the developer.
fn is_system(message: &Node<'_>) -> bool {
    matches!(message.at("role").and_then(Node::text), Some("system" | "developer"))
}

/// The content parts of all messages.
fn content_parts<'n>(messages: &'n [Node<'n>]) -> impl Iterator<Item = &'n Node<'n>> {
    messages.iter().filter_map(|message| message.set("content")?.items()).flatten()
}

/// Files and pictures that the provider is to read and that are not in the request.
fn files(messages: &[Node<'_>]) -> Option<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for part in content_parts(messages) {
        let id = part.at("file").and_then(|file| file.set("file_id"));
        let address = part.at("image_url").and_then(|image| image.set("url"));
        for file in id.into_iter().chain(address) {
            files::add(&mut found, file)?;
        }
    }
    Some(found)
}

/// Types of content parts and tools that are not of this API.
fn unknown(body: &Node<'_>, messages: &[Node<'_>]) -> BTreeSet<String> {
    let kinds = |node: &Node<'_>| node.at("type").and_then(Node::text).map(str::to_owned);
    let parts = content_parts(messages).filter_map(kinds);
    let parts = parts.filter(|kind| !KNOWN_PARTS.contains(&kind.as_str()));
    let tools = body.set("tools").and_then(Node::items).unwrap_or_default();
    let tools = tools.iter().filter_map(kinds);
    parts.chain(tools.filter(|kind| !matches!(kind.as_str(), "function" | "custom"))).collect()
}

/// Which tool the model should use; `None` if that is not what the API says.
fn tool_choice(body: &Node<'_>) -> Option<String> {
    let Some(choice) = body.set("tool_choice").or_else(|| body.set("function_call")) else {
        return Some(String::new());
    };
    if choice.text().is_some() {
        return name(choice);
    }
    let kind = choice.set("type").and_then(Node::text).unwrap_or_default();
    match choice.at(kind).unwrap_or(choice).set("name") {
        Some(named) => name(named),
        None => name(choice.at("type")?),
    }
}

/// Types of all content parts. What a part holds counts, too, whatever type it says it has.
fn parts(messages: &[Node<'_>]) -> Option<BTreeSet<String>> {
    let mut kinds = BTreeSet::new();
    for content in messages.iter().filter_map(|message| message.set("content")) {
        let Some(parts) = content.items() else {
            kinds.insert("text".to_owned());
            continue;
        };
        for part in parts {
            kinds.insert(name(part.at("type")?)?);
            let held = PART_PAYLOADS.iter().filter(|(kind, _)| part.set(kind).is_some());
            kinds.extend(held.map(|(kind, _)| (*kind).to_owned()));
        }
        if kinds.len() > PARTS_MAX {
            return None;
        }
    }
    Some(kinds)
}

/// Names of all tools: functions, custom tools, the older functions, hosted tools by their type, and a search
/// of the web that is asked for beside them.
fn tools(body: &Node<'_>) -> Option<BTreeSet<String>> {
    let list = |field: &str| match body.set(field) {
        None => Some(&[] as &[Node<'_>]),
        Some(node) => node.items().filter(|items| items.len() <= TOOLS_MAX),
    };
    let mut names = BTreeSet::new();
    for tool in list("tools")? {
        let kind = tool.at("type")?.text()?;
        names.insert(match kind {
            "function" | "custom" => name(tool.at(kind)?.at("name")?)?,
            _ => name(tool.at("type")?)?,
        });
    }
    for function in list("functions")? {
        names.insert(name(function.at("name")?)?);
    }
    names.extend(fields::search_tool(body));
    Some(names)
}

/// The upper bound of the answer; the greater one, if both names are used.
#[expect(
    clippy::option_option,
    reason = "the outer one says that the field is not what it should be"
)]
fn max_tokens(body: &Node<'_>) -> Option<Option<i64>> {
    let mut most = None;
    for field in ["max_completion_tokens", "max_tokens"] {
        if let Some(node) = body.set(field) {
            most = most.max(Some(i64::try_from(node.number()?).ok()?));
        }
    }
    Some(most)
}
