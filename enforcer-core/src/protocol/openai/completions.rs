// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Completions: the oldest API, a text that goes on (openai-python 3.54, `types/completion_create_params.py`).
//!
//! Each text of a list is a prompt of its own, with `n` answers of its own. Lists of token numbers are spelled out
//! before.

use std::collections::BTreeSet;

use crate::model::{Chat, Operation};
use crate::protocol::door::Asked;
use crate::protocol::json_tree::Node;

use super::names::{has_alias, model};
use super::{fields, tokens};

/// Fields that facts are made from.
const FIELDS: [&str; 6] = ["model", "prompt", "stream", "max_tokens", "n", "suffix"];

/// The facts; `None` if a field is not what the API says.
pub(super) fn operation(asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    if fields::leads_elsewhere(body) || has_alias(body, &FIELDS) {
        return None;
    }
    let model = model(asked, body)?;
    let prompts = match body.set("prompt") {
        // The provider begins with nothing then.
        None | Some(Node::String(_)) => 1,
        Some(node) => {
            let prompts = node.items().filter(|prompts| !prompts.is_empty())?;
            let are_texts = prompts.iter().all(|prompt| prompt.text().is_some());
            are_texts.then(|| i64::try_from(prompts.len()).ok()).flatten()?
        }
    };
    let stream = match body.set("stream") {
        None => false,
        Some(Node::Bool(stream)) => *stream,
        Some(_) => return None,
    };
    let max_tokens = match body.set("max_tokens") {
        None => None,
        Some(node) => Some(i64::try_from(node.number()?).ok()?),
    };
    Some(Operation::Chat(Chat {
        api: "completions".to_owned(),
        input_tokens: tokens::count(&model, body),
        model,
        stream,
        message_count: prompts,
        tools: fields::search_tool(body).into_iter().collect(),
        tool_choice: String::new(),
        parts: BTreeSet::from(["text".to_owned()]),
        system: false,
        previous: false,
        files: BTreeSet::new(),
        unknown: BTreeSet::new(),
        max_tokens,
        n: fields::answer_count(body)?.checked_mul(prompts)?,
        store: false,
    }))
}
