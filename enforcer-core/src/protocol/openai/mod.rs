// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The OpenAI HTTP API: which requests are understood, and what a refused client receives.

mod delta;
mod error;
mod mask;
mod request;
mod response;
mod stream;
mod tokens;

#[cfg(test)]
mod tests;

pub use error::{error_body, error_event};
pub use request::{ChatRequest, decode_chat, mask_chat_request};
pub use response::{mask_chat_response, usage};
pub use stream::{ChatStream, StreamError};

/// A request of the API that a codec understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/chat/completions`.
    Chat,
}

/// A body after masking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedBody {
    /// The body; the input bytes where nothing was masked.
    pub bytes: Vec<u8>,
    /// Places masked.
    pub count: u64,
}

/// The codec of a request. Only the exact method and path: a trailing slash, another case or an encoded
/// byte may reach another handler upstream, so it has no codec and is judged as `http`.
#[must_use]
pub fn route(method: &str, path: &str) -> Option<Route> {
    match (method, path) {
        ("POST", "/v1/chat/completions") => Some(Route::Chat),
        _ => None,
    }
}
