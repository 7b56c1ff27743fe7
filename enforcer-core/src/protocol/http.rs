// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a denied HTTP client receives where no provider's error shape applies.

use serde_json::{Value, json};

use crate::model::{Denied, DenyReason, ExchangeId, RuleId};

/// The generic error body: `error` with a stable code, one sentence, the rules and the exchange.
#[must_use]
pub fn error_body(denied: &Denied, exchange: Option<ExchangeId>) -> Value {
    json!({
        "error": {
            "source": "enforcer",
            "reason": denied.reason.code(),
            "message": sentence(denied, exchange),
            "rules": denied.rules.iter().map(RuleId::as_str).collect::<Vec<_>>(),
            "exchange": exchange.map(|id| id.to_string()),
        }
    })
}

/// The sentence a developer reads: who refused, why, which rules, the operator's words, the exchange.
#[must_use]
pub fn sentence(denied: &Denied, exchange: Option<ExchangeId>) -> String {
    let mut text = format!("{}: {}", denied.reason.lead(), denied.reason.sentence());
    let rules: Vec<String> = denied.rules.iter().map(|rule| format!("`{rule}`")).collect();
    match (rules.as_slice(), denied.reason) {
        ([], DenyReason::Policy) => text.push_str(" (no rule permits it)"),
        ([], _) => {}
        ([rule], _) => text.push_str(&format!(" (rule {rule})")),
        (rules, _) => text.push_str(&format!(" (rules {})", rules.join(", "))),
    }
    if let Some(message) = &denied.message {
        text.push_str(": ");
        text.push_str(message);
    }
    if let Some(exchange) = exchange {
        text.push_str(&format!(" [exchange {exchange}]"));
    }
    text
}
