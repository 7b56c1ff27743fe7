// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one place that turns a refusal into an answer, in the shape of the protocol, so that the agent's
//! SDK raises its own exception.

use bytes::Bytes;
use enforcer_core::model::{Denied, ExchangeId};
use enforcer_core::policy::Protocol;
use enforcer_core::protocol::codec;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

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
