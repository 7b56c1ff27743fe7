// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one place that turns a refusal into an answer, in the shape of the protocol, so that the agent's
//! SDK raises its own exception.

use bytes::Bytes;
use enforcer_core::model::{Denied, DenyReason, ExchangeId};
use enforcer_core::policy::Protocol;
use enforcer_core::protocol::codec;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, UPGRADE};
use hyper::{Response, StatusCode, Version};

use super::AnswerBody;

/// How the names of our own headers begin.
pub(super) const MARKS: &str = "x-enforcer";
/// Marks an answer as ours and not the provider's; its value is the reason code.
const DENIED: HeaderName = HeaderName::from_static("x-enforcer-denied");
/// Names the exchange in the record.
const EXCHANGE: HeaderName = HeaderName::from_static("x-enforcer-exchange");
/// The OpenAI SDKs retry 408, 409, 429 and 5xx unless this says otherwise
/// (openai-python `_base_client.py`, `_should_retry`).
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The answer for a refusal.
#[must_use]
pub fn answer(
    protocol: Protocol,
    denied: &Denied,
    exchange: Option<ExchangeId>,
) -> Response<AnswerBody> {
    let body = codec::refusal(protocol, denied, exchange);
    let mut answer = Response::new(AnswerBody::ready(Bytes::from(body.to_string())));
    *answer.status_mut() =
        StatusCode::from_u16(denied.reason.http_status()).unwrap_or(StatusCode::FORBIDDEN);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(DENIED, HeaderValue::from_static(denied.reason.code()));
    headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    if let Some(id) = exchange
        && let Ok(value) = HeaderValue::from_str(&id.to_string())
    {
        headers.insert(EXCHANGE, value);
    }
    answer
}

/// The refusal of a WebSocket that nobody opens here, whoever asks for it.
#[must_use]
pub fn no_websocket() -> Denied {
    let message = "a WebSocket is not opened here; send the same as a plain HTTP request (`POST`)";
    Denied { message: Some(message.to_owned()), ..Denied::because(DenyReason::UpgradeUnsupported) }
}

/// The same refusal as the answer to the handshake of a WebSocket: `426 Upgrade Required`, whatever its reason. It is
/// the one status after which Codex posts in the same turn; after any other it tries the WebSocket again, with pauses
/// (openai/codex, `codex-rs/core/src/client.rs`, `WebsocketStreamOutcome::FallbackToHttp`). The refusal's code in
/// header and body still says that it is a denial.
///
/// RFC 9110 section 15.5.22 wants an `Upgrade` header that names what would be accepted instead. That is HTTP/1.1
/// itself: `websocket` would invite another attempt. The connection ends, because a client that did not wait may have
/// sent WebSocket frames already, which must not be read as its next request. HTTP/2 has neither header (RFC 9113
/// section 8.2.2); there only the stream ends.
#[must_use]
pub fn unopened(mut answer: Response<AnswerBody>, version: Version) -> Response<AnswerBody> {
    *answer.status_mut() = StatusCode::UPGRADE_REQUIRED;
    if version < Version::HTTP_2 {
        let headers = answer.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("HTTP/1.1"));
        headers.insert(CONNECTION, HeaderValue::from_static("close, upgrade"));
    }
    answer
}
