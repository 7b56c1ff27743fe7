// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Refusals in the error shape of the Anthropic API (docs.anthropic.com, "Errors"), so that its SDKs raise their
//! own exceptions.

use serde_json::{Value, json};

use crate::model::{Denied, ExchangeId, RuleId};
use crate::protocol::http::sentence;

/// The error body. `type` is the provider's word for a request that is not permitted; `code` is the stable reason
/// with the prefix `enforcer_`, and `error_code` is where the SDKs look for one.
pub(super) fn error_body(denied: &Denied, exchange: Option<ExchangeId>) -> Value {
    let code = format!("enforcer_{}", denied.reason.code());
    json!({
        "type": "error",
        "error": {
            "type": "permission_error",
            "message": sentence(denied, exchange),
            "code": code,
            "details": { "error_code": code },
            "rules": denied.rules.iter().map(RuleId::as_str).collect::<Vec<_>>(),
            "exchange": exchange.map(|id| id.to_string()),
        },
        "request_id": exchange.map(|id| id.to_string()),
    })
}

/// The last event of a stream that is cut off: an error event, and no `message_stop` after it. The SDKs raise its body
/// once (anthropic-sdk-python `_streaming.py`, anthropic-sdk-typescript `core/streaming.ts`): a stream that has begun is
/// never asked for again.
pub(super) fn last_event(denied: &Denied, exchange: Option<ExchangeId>) -> Vec<u8> {
    format!("event: error\ndata: {}\n\n", error_body(denied, exchange)).into_bytes()
}
