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
