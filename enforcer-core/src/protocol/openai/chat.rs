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
use super::{fields, tokens};

/// Most tools of one request; the API allows fewer.
const TOOLS_MAX: usize = 1024;
/// Most types of content parts of one request; the API has five.
const PARTS_MAX: usize = 16;
/// Fields that facts are made from.
const FIELDS: [&str; 9] = [
    "model",
    "messages",
    "stream",
    "tools",
    "functions",
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
        input_tokens: tokens::count(&model, body),
        model,
        stream,
        message_count: i64::try_from(messages.len()).ok()?,
        tools: tools(body)?,
        parts: parts(messages)?,
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
