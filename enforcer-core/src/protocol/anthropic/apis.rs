// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the bodies of each door mean.

use crate::model::Operation;
use crate::protocol::door::{Api, Asked};
use crate::protocol::json_tree::Node;
use crate::protocol::names::only_model;

use super::{batches, messages, shapes};

pub(super) static ANY: Api = Api { is_body_optional: true, ..api("any", any) };
pub(super) static BATCHES: Api = Api {
    calls: batches::calls,
    has_other_actions: true,
    ..api("message_batches", batches::operation)
};
pub(super) static MESSAGES: Api =
    Api { calls: messages::calls, is_generated: true, ..api("messages", messages::operation) };
pub(super) static MESSAGES_COUNT: Api = api("messages", messages::count);

const fn api(
    name: &'static str,
    operation: for<'b> fn(&Asked<'_>, &Node<'b>) -> Option<Operation>,
) -> Api {
    Api {
        name,
        shape: &shapes::MESSAGES,
        operation,
        calls: |_, _| Some(Vec::new()),
        has_other_actions: false,
        is_generated: false,
        is_body_optional: false,
    }
}

/// A body of which only the model is a fact.
fn any(asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    let Node::Object(_) = body else { return None };
    asked.call(only_model(body)?, true)
}
