// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The seam between the program and the API families: what is asked of a family, and nothing about which
//! one it is. The rest of the program names no provider.
//!
//! Four questions: which door is this request for ([`route`]), what does it ask
//! ([`crate::facts::decode`]), how does its answer go on ([`ChatStream`], [`read_answer`]), and what does a
//! refused client receive ([`refusal`], [`last_event`]).

use serde_json::Value;

use crate::mask::Masker;
use crate::model::{Denied, ExchangeId, OpaqueCause};
use crate::policy::Protocol;

use super::{headers, http, openai};

pub use openai::{
    Answer, ChatStream, Keep, MaskedBody, Pieces, Route, StreamError, Understood, Wants,
};

/// The codec of a request, by the exact method and path.
#[must_use]
pub fn route(protocol: Protocol, method: &str, path: &str) -> Option<Route> {
    match protocol {
        Protocol::Http => None,
        Protocol::OpenAi => openai::route(method, path),
    }
}

/// Whether what a request asks can depend on its query beyond what the facts say: another name than those
/// that the API has for a request whose facts are in its body.
#[must_use]
pub fn knows_query(route: Route, query: &str) -> bool {
    !route.reads_body() || openai::knows_query(query)
}

/// Whether a header of an agent, in lower case, is sent on to an endpoint of this protocol.
#[must_use]
pub fn sends_header(protocol: Protocol, name: &str) -> bool {
    match protocol {
        Protocol::Http => !headers::is_override(name),
        Protocol::OpenAi => openai::knows_header(name),
    }
}

/// Whether a header, in lower case, is meant for the provider whatever a connection option says.
#[must_use]
pub fn is_end_to_end(protocol: Protocol, name: &str) -> bool {
    headers::is_end_to_end(name)
        || match protocol {
            Protocol::Http => false,
            Protocol::OpenAi => openai::knows_header(name),
        }
}

/// Masks the texts of a request body.
///
/// # Errors
/// The cause by which the request becomes `opaque`.
pub fn mask_request(body: &[u8], masker: &Masker) -> Result<MaskedBody, OpaqueCause> {
    openai::mask_request(body, masker)
}

/// Reads a plain answer, an error answer too.
///
/// # Errors
/// Why the answer cannot be masked; it must not be passed on then.
pub fn read_answer(body: &[u8], wants: &Wants) -> Result<Answer, OpaqueCause> {
    openai::read_answer(body, wants)
}

/// The body of a refusal, in the error shape of the family, so that its SDKs raise their own exceptions.
#[must_use]
pub fn refusal(protocol: Protocol, denied: &Denied, exchange: Option<ExchangeId>) -> Value {
    match protocol {
        Protocol::Http => http::error_body(denied, exchange),
        Protocol::OpenAi => openai::error_body(denied, exchange),
    }
}

/// The last event of a stream that is cut off: a refusal, and no normal end marker after it.
#[must_use]
pub fn last_event(denied: &Denied, exchange: Option<ExchangeId>) -> Vec<u8> {
    openai::error_event(&openai::error_body(denied, exchange))
}
