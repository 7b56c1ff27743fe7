// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Refusals in the error shape of the OpenAI API, so that its SDKs raise their own exceptions.

use serde_json::{Value, json};

use crate::model::{Denied, ExchangeId, RuleId};
use crate::protocol::http::sentence;

/// The error body. The SDKs show `message`; `code` is the stable reason with the prefix `enforcer_`.
pub(super) fn error_body(denied: &Denied, exchange: Option<ExchangeId>) -> Value {
    json!({
        "error": {
            "message": sentence(denied, exchange),
            "type": "enforcer_denied",
            "param": null,
            "code": format!("enforcer_{}", denied.reason.code()),
            "rules": denied.rules.iter().map(RuleId::as_str).collect::<Vec<_>>(),
            "exchange": exchange.map(|id| id.to_string()),
        }
    })
}

/// The last event of a stream that is cut off: the error body as data, and no `[DONE]` after it.
pub(super) fn last_event(denied: &Denied, exchange: Option<ExchangeId>) -> Vec<u8> {
    format!("data: {}\n\n", error_body(denied, exchange)).into_bytes()
}

/// The last event of a stream of typed events that is cut off, one for all who read such streams:
///
/// - The official SDKs raise their `APIError` for every event with a member `error`, whatever its type
///   (openai-python `_streaming.py`, openai-node `core/streaming.ts`).
/// - Codex looks for `response.failed` and takes every code in it but a few for a reason to try again; `invalid_prompt` is
///   the one by which it gives up and shows the message (`codex-api/src/sse/responses.rs`).
pub(super) fn last_typed_event(denied: &Denied, exchange: Option<ExchangeId>) -> Vec<u8> {
    let Value::Object(mut event) = error_body(denied, exchange) else { return Vec::new() };
    let id = exchange.map_or_else(|| "enforcer".to_owned(), |id| id.to_string());
    let response = json!({
        "id": id,
        "object": "response",
        "status": "failed",
        "output": [],
        "error": { "code": "invalid_prompt", "message": sentence(denied, exchange) },
    });
    event.insert("type".to_owned(), json!("response.failed"));
    event.insert("response".to_owned(), response);
    format!("event: response.failed\ndata: {}\n\n", Value::from(event)).into_bytes()
}
