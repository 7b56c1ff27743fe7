// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests for a message (docs.anthropic.com, "Messages"; anthropic-sdk-python 2.14,
//! `types/beta/message_create_params.py`).
//!
//! Strict: what this reader and the provider's might read differently has no facts and is `opaque`. So a name that
//! stands twice, a known name in another case, and a field of another type are refused.

use crate::model::{Called, Chat, CountTokens, Operation};
use crate::protocol::door::Asked;
use crate::protocol::elsewhere::leads_elsewhere;
use crate::protocol::json_tree::Node;
use crate::protocol::names::{has_alias, name};

use super::content::Content;
use super::{tokens, tools};

/// Fields that facts are made from.
const FIELDS: [&str; 12] = [
    "container",
    "fallbacks",
    "max_tokens",
    "mcp_servers",
    "messages",
    "model",
    "prompt",
    "stream",
    "system",
    "thread",
    "tool_choice",
    "tools",
];
/// Fields of the API that look as if they led to another model. Of these `fallbacks` does, and its models are judged;
/// a credit token only changes the price.
const FALLBACKS: [&str; 2] = ["fallbacks", "fallback_credit_token"];
/// Most models that may answer in place of another; the API allows fewer.
const FALLBACKS_MAX: usize = 16;

/// The facts; `None` if a field is not what the API says.
pub(super) fn operation(_asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    chat(body).map(Operation::Chat)
}

/// The same request to each other model that it names.
pub(super) fn calls(_asked: &Asked<'_>, body: &Node<'_>) -> Option<Vec<Called>> {
    let chat = chat(body)?;
    let others = others(body)?;
    let call = |(name, model)| {
        let operation = Operation::Chat(Chat { model, ..chat.clone() });
        Called { name, operation }
    };
    Some(others.into_iter().map(call).collect())
}

/// Tokens of a message that is not sent.
pub(super) fn count(_asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    check(body)?;
    let (model, input_tokens) = (name(body.at("model")?)?, tokens::count(body));
    tools::names(body, &mut Content::read(body)?)?;
    Some(Operation::CountTokens(CountTokens { model, input_tokens }))
}

/// The facts of a message; `None` if a field is not what the API says.
pub(super) fn chat(body: &Node<'_>) -> Option<Chat> {
    check(body)?;
    let mut content = Content::read(body)?;
    let tools = tools::names(body, &mut content)?;
    let thread = body.set("thread");
    let is_continued =
        thread.is_some_and(|thread| thread.at("type").and_then(Node::text) != Some("create"));
    Some(Chat {
        api: "messages".to_owned(),
        model: name(body.at("model")?)?,
        stream: flag(body, "stream")?,
        message_count: i64::try_from(body.at("messages")?.items()?.len()).ok()?,
        tools,
        tool_choice: tools::choice(body)?,
        system: content.has_system,
        previous: is_continued || has_container(body)?,
        parts: content.parts,
        files: content.files,
        unknown: content.unknown,
        max_tokens: max_tokens(body)?,
        input_tokens: tokens::count(body),
        n: 1,
        // A thread is kept for those who go on with it.
        store: thread.is_some(),
    })
}

/// Refuses a body with a member that some reader may take for one of the fields, or that leads to another model or
/// place.
fn check(body: &Node<'_>) -> Option<()> {
    let Node::Object(members) = body else { return None };
    let known = |name: &str| FALLBACKS.contains(&name);
    let others = members.iter().filter(|(name, _)| !known(name)).cloned().collect();
    let leads = leads_elsewhere(&Node::Object(others));
    (!leads && !has_alias(body, &FIELDS)).then_some(())
}

/// The models that may answer beside the one asked for, each with the place where it is named: in place of it, or as
/// its advisor. `None` if nobody knows which (`fallbacks: "default"`).
fn others(body: &Node<'_>) -> Option<Vec<(String, String)>> {
    let mut others = Vec::new();
    if let Some(fallbacks) = body.set("fallbacks") {
        let fallbacks = fallbacks.items().filter(|items| items.len() <= FALLBACKS_MAX)?;
        for (index, fallback) in fallbacks.iter().enumerate() {
            if has_alias(fallback, &["model"]) {
                return None;
            }
            others.push((format!("fallbacks[{index}]"), name(fallback.at("model")?)?));
        }
    }
    for model in tools::models(body, &Content::read(body)?)? {
        others.push((format!("tools: {model}"), model));
    }
    Some(others)
}

/// Whether the request goes on in a container that stands already.
fn has_container(body: &Node<'_>) -> Option<bool> {
    match body.set("container") {
        None => Some(false),
        Some(Node::String(_)) => Some(true),
        Some(container @ Node::Object(_)) => Some(container.set("id").is_some()),
        Some(Node::Bool(_) | Node::Number(_) | Node::Array(_) | Node::Null) => None,
    }
}

/// The upper bound of the answer, which the API requires.
#[expect(
    clippy::option_option,
    reason = "the outer one says that the field is not what it should be"
)]
fn max_tokens(body: &Node<'_>) -> Option<Option<i64>> {
    Some(Some(i64::try_from(body.at("max_tokens")?.number()?).ok()?))
}

fn flag(body: &Node<'_>, field: &str) -> Option<bool> {
    match body.set(field) {
        None => Some(false),
        Some(Node::Bool(flag)) => Some(*flag),
        Some(_) => None,
    }
}
