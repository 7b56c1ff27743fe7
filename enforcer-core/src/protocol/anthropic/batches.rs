// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Batches of messages (docs.anthropic.com, "Create a Message Batch"): each request is judged as the chat that it is.

use std::collections::BTreeSet;

use crate::model::limits::CALLS_MAX;
use crate::model::{Batch, Called, Operation};
use crate::protocol::door::Asked;
use crate::protocol::json_tree::Node;
use crate::protocol::names::{has_alias, name};

use super::messages;

/// Where each request of a batch goes.
const TARGET: &str = "/v1/messages";

/// The facts of the batch itself.
pub(super) fn operation(_asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    requests(body)?;
    Some(Operation::Batch(Batch { target: TARGET.to_owned(), input_file: String::new() }))
}

/// Each request by its `custom_id`; `None` if two have the same one.
pub(super) fn calls(asked: &Asked<'_>, body: &Node<'_>) -> Option<Vec<Called>> {
    let mut calls = Vec::new();
    let mut names = BTreeSet::new();
    for request in requests(body)? {
        if has_alias(request, &["custom_id", "params"]) {
            return None;
        }
        let (custom_id, params) = (name(request.at("custom_id")?)?, request.at("params")?);
        if !names.insert(custom_id.clone()) {
            return None;
        }
        let operation = messages::operation(asked, params)?;
        calls.push(Called { name: custom_id.clone(), operation });
        for other in messages::calls(asked, params)? {
            let name = format!("{custom_id}: {}", other.name);
            calls.push(Called { name, ..other });
        }
        if calls.len() > CALLS_MAX {
            return None;
        }
    }
    Some(calls)
}

/// The requests. One reader may take an empty list for none, so it has no facts.
fn requests<'n, 'b>(body: &'n Node<'b>) -> Option<&'n [Node<'b>]> {
    if has_alias(body, &["requests"]) {
        return None;
    }
    body.at("requests")?.items().filter(|requests| !requests.is_empty())
}
