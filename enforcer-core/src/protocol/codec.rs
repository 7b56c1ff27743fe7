// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seam between the program and the API families: what is asked of a family, and nothing about which
//! one it is. The rest of the program names no provider.
//!
//! Four questions: which door is this request for ([`route`]), what does it ask
//! ([`crate::facts::decode`]), how does its answer go on ([`read_stream`], [`read_answer`]), and what does a
//! refused client receive ([`refusal`]).

use std::borrow::Cow;

use serde_json::Value;

use crate::mask::Masker;
use crate::model::{Denied, ExchangeId, OpaqueCause};
use crate::policy::Protocol;

use super::answer::Shape;
use super::body::{self, Tables};
use super::{answer, anthropic, headers, http, openai};

pub use super::answer::{
    Answer, AnswerStream, Calls, Judge, JudgedCall, Keep, Outcome, Pieces, StreamError, Wants,
};
pub use super::body::MaskedBody;
pub use super::door::{Door, Reads};
pub use super::family::{Family, Route};
pub use super::understood::Understood;

/// Every family, and the only list of them.
pub static FAMILIES: [&Family; 2] = [&anthropic::FAMILY, &openai::FAMILY];

/// The family that an endpoint of this protocol speaks, if one is known.
#[must_use]
pub fn family(protocol: Protocol) -> Option<&'static Family> {
    match protocol {
        Protocol::Anthropic => Some(&anthropic::FAMILY),
        Protocol::Http => None,
        Protocol::OpenAi => Some(&openai::FAMILY),
    }
}

/// The door of a request, by the exact method and path.
#[must_use]
pub fn route(protocol: Protocol, method: &str, path: &str) -> Option<Route> {
    family(protocol)?.route(method, path)
}

/// Whether a header of an agent, in lower case, is sent on to an endpoint of this protocol.
#[must_use]
pub fn sends_header(protocol: Protocol, name: &str) -> bool {
    family(protocol)
        .map_or_else(|| !headers::is_override(name), |family| (family.knows_header)(name))
}

/// Whether a header, in lower case, is meant for the provider whatever a connection option says.
#[must_use]
pub fn is_end_to_end(protocol: Protocol, name: &str) -> bool {
    headers::is_end_to_end(name)
        || family(protocol).is_some_and(|family| (family.knows_header)(name))
}

/// Masks the texts of a request body: every string and every name, except what the API dispatches on and
/// payloads in base64. Without a route nothing is known of the body but that it should be JSON.
///
/// # Errors
/// The cause by which the request becomes `opaque`.
pub fn mask_request(
    route: Option<Route>,
    body: &[u8],
    masker: &Masker,
) -> Result<MaskedBody, OpaqueCause> {
    if body.is_empty() && route.is_some_and(Route::is_body_optional) {
        return Ok(MaskedBody { bytes: Vec::new(), count: 0 });
    }
    let spelled = route.map_or(Ok(Cow::Borrowed(body)), |route| route.spelled(body))?;
    let masked = body::mask_body(shape(route).tables, &spelled, masker)?;
    let is_as_sent = masked.count == 0 && spelled != body;
    Ok(if is_as_sent { MaskedBody { bytes: body.to_vec(), ..masked } } else { masked })
}

/// Reads a plain answer, an error answer too.
///
/// # Errors
/// Why the answer cannot be masked; it must not be passed on then.
pub fn read_answer(
    route: Option<Route>,
    body: &[u8],
    wants: &Wants,
) -> Result<Answer, OpaqueCause> {
    answer::read_answer(shape(route), body, wants)
}

/// A reader of a streamed answer.
#[must_use]
pub fn read_stream(route: Option<Route>, wants: Wants) -> AnswerStream {
    AnswerStream::new(shape(route), wants)
}

/// The body of a refusal, in the error shape of the family, so that its SDKs raise their own exceptions.
#[must_use]
pub fn refusal(protocol: Protocol, denied: &Denied, exchange: Option<ExchangeId>) -> Value {
    family(protocol).map_or_else(
        || http::error_body(denied, exchange),
        |family| (family.refusal)(denied, exchange),
    )
}

/// Answers of which nothing is known.
static UNKNOWN: Shape = Shape {
    tables: &Tables::NONE,
    events: None,
    last_event: |denied, exchange| {
        format!("data: {}\n\n", http::error_body(denied, exchange)).into_bytes()
    },
};

fn shape(route: Option<Route>) -> &'static Shape {
    route.map_or(&UNKNOWN, Route::shape)
}
