// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The OpenAI HTTP API: which requests are understood, and what a refused client receives.

mod api;
mod delta;
mod error;
mod fields;
mod headers;
mod mask;
mod meter;
mod parts;
mod place;
mod request;
mod response;
mod stream;
mod tokens;

#[cfg(test)]
mod tests;

pub use api::{Understood, decode, understood_by_head};
pub use error::{error_body, error_event};
pub use fields::knows_query;
pub use headers::knows_header;
pub use request::mask_request;
pub use response::{Answer, read_answer};
pub use stream::{ChatStream, Keep, Pieces, StreamError, Wants};

/// A request of the API that a codec understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/batches`.
    Batch,
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/embeddings`.
    Embed,
    /// `GET /v1/files`, and what is below it.
    FileRead,
    /// `POST /v1/files`.
    FileUpload,
    /// `POST /v1/fine_tuning/jobs`.
    FineTune,
    /// `POST /v1/images/generations`.
    Image,
    /// `POST /v1/audio/speech`.
    Speech,
    /// `POST /v1/traces/ingest`.
    TraceExport,
    /// `POST /v1/audio/transcriptions` and `POST /v1/audio/translations`.
    Transcribe,
}

impl Route {
    /// True if the facts are in the body, which is JSON; false if the head says all that is known.
    #[must_use]
    pub const fn reads_body(self) -> bool {
        match self {
            Self::Batch
            | Self::Chat
            | Self::Embed
            | Self::FineTune
            | Self::Image
            | Self::Speech
            | Self::TraceExport => true,
            Self::FileRead | Self::FileUpload | Self::Transcribe => false,
        }
    }

    /// The action it is in rules, when its body is understood.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Chat => "chat",
            Self::Embed => "embed",
            Self::FileRead => "file_read",
            Self::FileUpload => "file_upload",
            Self::FineTune => "fine_tune",
            Self::Image => "image",
            Self::Speech => "speech",
            Self::TraceExport => "trace_export",
            Self::Transcribe => "transcribe",
        }
    }
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
    let route = match (method, path) {
        ("POST", "/v1/batches") => Route::Batch,
        ("POST", "/v1/chat/completions") => Route::Chat,
        ("POST", "/v1/embeddings") => Route::Embed,
        ("POST", "/v1/files") => Route::FileUpload,
        ("POST", "/v1/fine_tuning/jobs") => Route::FineTune,
        ("POST", "/v1/images/generations") => Route::Image,
        ("POST", "/v1/audio/speech") => Route::Speech,
        ("POST", "/v1/traces/ingest") => Route::TraceExport,
        ("POST", "/v1/audio/transcriptions" | "/v1/audio/translations") => Route::Transcribe,
        ("GET", path) if api::is_file(path) => Route::FileRead,
        _ => return None,
    };
    Some(route)
}
