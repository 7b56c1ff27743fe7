// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Facts of what else a model provider's API is asked for, beside chats.

use serde::{Deserialize, Serialize};

/// Facts of the actions that have no facts of their own beside what is asked of which door: `administer`,
/// `agent_run`, `list_models`, `realtime`, `search`, `stored_read`, `stored_write` and `video`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Request method, upper case.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query as sent, without `?`; empty if there is none.
    #[serde(default)]
    pub query: String,
    /// The door of the API: the path with `{}` for ids.
    pub door: String,
    /// The model asked for; empty if the request names none.
    #[serde(default)]
    pub model: String,
    /// True if the request has a body.
    #[serde(default)]
    pub has_body: bool,
}

/// Facts of the action `count_tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountTokens {
    /// The model asked for, as sent; empty if the request names none.
    pub model: String,
    /// Tokens of the request, counted before sending.
    pub input_tokens: i64,
}

/// Facts of the action `moderate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moderate {
    /// The model asked for; empty if the request names none, and the provider takes its own.
    pub model: String,
    /// Number of texts and pictures.
    pub input_count: i64,
}

/// Facts of the action `embed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embed {
    /// The model asked for, as sent.
    pub model: String,
    /// Number of texts.
    pub input_count: i64,
    /// Tokens of the request, counted before sending.
    pub input_tokens: i64,
}

/// Facts of the action `image`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The model asked for; empty if the request names none, and the provider takes its own.
    pub model: String,
    /// Number of pictures asked for.
    pub count: i64,
}

/// Facts of the action `speech`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speech {
    /// The model asked for, as sent.
    pub model: String,
    /// Tokens of the request, counted before sending.
    pub input_tokens: i64,
}

/// Facts of the actions `transcribe` and `file_upload`, whose bodies are forms with a file. They are streamed
/// and not looked into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Bytes of the body as declared; the largest number there is if nothing is declared.
    pub size: i64,
}

/// Facts of the action `file_read`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRead {
    /// Path without query.
    pub path: String,
    /// True if the content is asked for and not only what the provider says about the file.
    pub is_content: bool,
}

/// Facts of the action `fine_tune`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FineTune {
    /// The model to start from, as sent.
    pub model: String,
    /// Id of the file to train with, as sent.
    pub training_file: String,
}

/// Facts of the action `batch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Path of the API that each request of the batch goes to.
    pub target: String,
    /// Id of the file with the requests, as sent.
    pub input_file: String,
}

/// Facts of the action `trace_export`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceExport {
    /// Number of traces and spans.
    pub item_count: i64,
}
