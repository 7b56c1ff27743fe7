// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy may know about an exchange. Facts are recorded as they were judged, so that a replay
//! judges the same ones.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::chat::Chat;
use super::limits::BYTES_PER_TOKEN;
use super::rewrite::Rewrite;
use super::{
    AgentName, Batch, Call, CountTokens, DetectorName, Embed, EndpointName, FileRead, FineTune,
    Image, Moderate, Speech, ToolCall, TraceExport, Upload,
};

/// Everything one decision is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Who asks.
    pub agent: AgentName,
    /// Where to.
    pub endpoint: EndpointName,
    /// Detectors that found something in the request; `context.detected` in rules.
    pub detected: BTreeSet<DetectorName>,
    /// Detectors that looked; no rule could ask for others. None: every one that a policy may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sought: Option<BTreeSet<DetectorName>>,
    /// Names of the facts that stand in the record otherwise than they were judged, because a part of them is hidden
    /// there. Empty before they are recorded.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hidden: BTreeSet<String>,
    /// What is asked.
    pub operation: Operation,
    /// What is asked with it, each of which is judged as a request of its own: the requests of a batch, other models
    /// that may answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Called>,
}

/// One of several things that a request asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// What the request itself names it by (`custom_id`), or where it stands.
    pub name: String,
    /// What is asked.
    pub operation: Operation,
}

/// What the codec understood: the action and its own facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Operation {
    /// A look at or a change of the organization, its keys, vaults, webhooks or unattended work.
    Administer(Call),
    /// Work of a provider's agents or models that goes on behind an id: runs, hosted agents, evaluations.
    AgentRun(Call),
    /// A batch of requests that the provider processes later.
    Batch(Batch),
    /// A chat completion.
    Chat(Chat),
    /// A passed-through connection, judged by name only.
    Connect(Connect),
    /// The tokens of a request, counted by the provider.
    CountTokens(CountTokens),
    /// Embeddings of texts.
    Embed(Embed),
    /// A look at files that the provider stores, or at what is in one.
    FileRead(FileRead),
    /// A file that the provider is to store.
    FileUpload(Upload),
    /// A model that is to be trained further.
    FineTune(FineTune),
    /// A request that no codec understands.
    Http(Http),
    /// Pictures made from a text.
    Image(Image),
    /// A look at the models that there are.
    ListModels(Call),
    /// Texts or pictures that a model classifies.
    Moderate(Moderate),
    /// A request whose body a codec should understand and cannot.
    Opaque(Opaque),
    /// A session by voice or text over a connection that stays open.
    Realtime(Call),
    /// A search in what the provider stores.
    Search(Call),
    /// Speech made from a text.
    Speech(Speech),
    /// A look at what the provider stores, beside files.
    StoredRead(Call),
    /// A change of what the provider stores, beside new files.
    StoredWrite(Call),
    /// A call of a tool.
    ToolCall(ToolCall),
    /// Traces of an agent's steps.
    TraceExport(TraceExport),
    /// A text made from speech.
    Transcribe(Upload),
    /// A film made from a text or a picture.
    Video(Call),
}

impl Facts {
    /// The same facts after `by` has seen everything in them that the agent chose. Counts of ours stay.
    pub(crate) fn rewritten(self, by: &mut impl Rewrite) -> Self {
        let Self { agent, endpoint, detected, sought, hidden, operation, calls } = self;
        let operation = operation.rewritten(by);
        let mut call = |Called { name, operation }: Called| Called {
            name: by.text("calls", &name),
            operation: operation.rewritten(by),
        };
        let calls = calls.into_iter().map(&mut call).collect();
        Self { agent, endpoint, detected, sought, hidden, operation, calls }
    }

    /// The facts of one of the calls. What was found anywhere in the request, and what is hidden in the record, counts
    /// for each.
    #[must_use]
    pub fn of_call(&self, call: &Called) -> Self {
        let Self { agent, endpoint, detected, sought, hidden, .. } = self.clone();
        Self {
            agent,
            endpoint,
            detected,
            sought,
            hidden,
            operation: call.operation.clone(),
            calls: Vec::new(),
        }
    }
}

impl Operation {
    /// Each member is named, so that a new one has to be thought of here.
    fn rewritten(self, by: &mut impl Rewrite) -> Self {
        match self {
            Self::Administer(call) => Self::Administer(call.rewritten(by)),
            Self::AgentRun(call) => Self::AgentRun(call.rewritten(by)),
            Self::Batch(Batch { target, input_file }) => Self::Batch(Batch {
                target: by.text("target", &target),
                input_file: by.text("input_file", &input_file),
            }),
            Self::Chat(chat) => Self::Chat(chat.rewritten(by)),
            Self::Connect(Connect { host, port }) => {
                Self::Connect(Connect { host: by.text("host", &host), port })
            }
            Self::CountTokens(CountTokens { model, input_tokens }) => {
                Self::CountTokens(CountTokens { model: by.text("model", &model), input_tokens })
            }
            Self::Embed(Embed { model, input_count, input_tokens }) => {
                Self::Embed(Embed { model: by.text("model", &model), input_count, input_tokens })
            }
            Self::FileRead(FileRead { path, is_content }) => {
                Self::FileRead(FileRead { path: by.text("path", &path), is_content })
            }
            Self::FileUpload(Upload { size }) => {
                Self::FileUpload(Upload { size: by.number("size", size) })
            }
            Self::FineTune(FineTune { model, training_file }) => Self::FineTune(FineTune {
                model: by.text("model", &model),
                training_file: by.text("training_file", &training_file),
            }),
            Self::Http(Http { method, path, query, has_body }) => {
                let (method, path, query) =
                    (by.text("method", &method), by.text("path", &path), by.text("query", &query));
                Self::Http(Http { method, path, query, has_body })
            }
            Self::Image(Image { model, count }) => Self::Image(Image {
                model: by.text("model", &model),
                count: by.number("count", count),
            }),
            Self::ListModels(call) => Self::ListModels(call.rewritten(by)),
            Self::Moderate(Moderate { model, input_count }) => {
                Self::Moderate(Moderate { model: by.text("model", &model), input_count })
            }
            Self::Opaque(Opaque { method, path, size, cause, detail }) => {
                let (method, path) = (by.text("method", &method), by.text("path", &path));
                let (size, detail) =
                    (by.number("size", size), detail.map(|detail| by.text("detail", &detail)));
                Self::Opaque(Opaque { method, path, size, cause, detail })
            }
            Self::Realtime(call) => Self::Realtime(call.rewritten(by)),
            Self::Search(call) => Self::Search(call.rewritten(by)),
            Self::Speech(Speech { model, input_tokens }) => {
                Self::Speech(Speech { model: by.text("model", &model), input_tokens })
            }
            Self::StoredRead(call) => Self::StoredRead(call.rewritten(by)),
            Self::StoredWrite(call) => Self::StoredWrite(call.rewritten(by)),
            Self::ToolCall(call) => Self::ToolCall(call.rewritten(by)),
            Self::TraceExport(TraceExport { item_count }) => {
                Self::TraceExport(TraceExport { item_count })
            }
            Self::Transcribe(Upload { size }) => {
                Self::Transcribe(Upload { size: by.number("size", size) })
            }
            Self::Video(call) => Self::Video(call.rewritten(by)),
        }
    }
}

impl ToolCall {
    fn rewritten(self, by: &mut impl Rewrite) -> Self {
        let Self { name, kind, server, arguments, scalars, asked, is_whole } = self;
        let (name, server, arguments) =
            (by.text("name", &name), by.text("server", &server), by.text("arguments", &arguments));
        let scalars = scalars.iter().map(|scalar| by.text("scalars", scalar)).collect();
        Self { name, kind, server, arguments, scalars, asked, is_whole }
    }
}

impl Call {
    fn rewritten(self, by: &mut impl Rewrite) -> Self {
        let Self { method, path, query, door, model, has_body } = self;
        let (method, path) = (by.text("method", &method), by.text("path", &path));
        let (query, model) = (by.text("query", &query), by.text("model", &model));
        Self { method, path, query, door, model, has_body }
    }
}

impl Operation {
    /// The model that is asked for, where the codec knows it.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Administer(call)
            | Self::AgentRun(call)
            | Self::ListModels(call)
            | Self::Realtime(call)
            | Self::Search(call)
            | Self::StoredRead(call)
            | Self::StoredWrite(call)
            | Self::Video(call) => (!call.model.is_empty()).then_some(call.model.as_str()),
            Self::Chat(chat) => Some(&chat.model),
            Self::CountTokens(count) => Some(&count.model),
            Self::Embed(embed) => Some(&embed.model),
            Self::FineTune(tune) => Some(&tune.model),
            Self::Image(image) => Some(&image.model),
            Self::Moderate(moderate) => Some(&moderate.model),
            Self::Speech(speech) => Some(&speech.model),
            Self::Batch(_)
            | Self::Connect(_)
            | Self::FileRead(_)
            | Self::FileUpload(_)
            | Self::Http(_)
            | Self::Opaque(_)
            | Self::ToolCall(_)
            | Self::TraceExport(_)
            | Self::Transcribe(_) => None,
        }
    }

    /// Number of answers that the request asks for, each of which may have [`Self::answer_tokens`].
    #[must_use]
    pub fn answer_count(&self) -> u64 {
        match self {
            Self::Chat(chat) => u64::try_from(chat.n).unwrap_or(1),
            Self::Administer(_)
            | Self::AgentRun(_)
            | Self::ListModels(_)
            | Self::Realtime(_)
            | Self::Search(_)
            | Self::StoredRead(_)
            | Self::StoredWrite(_)
            | Self::Video(_)
            | Self::Batch(_)
            | Self::Connect(_)
            | Self::CountTokens(_)
            | Self::Moderate(_)
            | Self::Embed(_)
            | Self::FileRead(_)
            | Self::FileUpload(_)
            | Self::FineTune(_)
            | Self::Http(_)
            | Self::Image(_)
            | Self::Opaque(_)
            | Self::Speech(_)
            | Self::ToolCall(_)
            | Self::TraceExport(_)
            | Self::Transcribe(_) => 1,
        }
    }

    /// Tokens that the provider is going to charge for the request, as far as they are known before.
    #[must_use]
    pub const fn request_tokens(&self) -> i64 {
        match self {
            Self::Chat(chat) => chat.input_tokens,
            Self::Embed(embed) => embed.input_tokens,
            Self::Speech(speech) => speech.input_tokens,
            Self::Administer(_)
            | Self::AgentRun(_)
            | Self::ListModels(_)
            | Self::Realtime(_)
            | Self::Search(_)
            | Self::StoredRead(_)
            | Self::StoredWrite(_)
            | Self::Video(_)
            | Self::Batch(_)
            | Self::Connect(_)
            | Self::CountTokens(_)
            | Self::Moderate(_)
            | Self::FileRead(_)
            | Self::FileUpload(_)
            | Self::FineTune(_)
            | Self::Http(_)
            | Self::Image(_)
            | Self::Opaque(_)
            | Self::ToolCall(_)
            | Self::TraceExport(_)
            | Self::Transcribe(_) => 0,
        }
    }

    /// Whether a model asks for a call of a tool: what permitted the exchange covers its answer, so no rule has to
    /// permit the call.
    #[must_use]
    pub const fn is_asked_call(&self) -> bool {
        matches!(self, Self::ToolCall(call) if call.asked)
    }

    /// Name of the action in rules.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Administer(_) => "administer",
            Self::AgentRun(_) => "agent_run",
            Self::Batch(_) => "batch",
            Self::Chat(_) => "chat",
            Self::Connect(_) => "connect",
            Self::CountTokens(_) => "count_tokens",
            Self::Embed(_) => "embed",
            Self::FileRead(_) => "file_read",
            Self::FileUpload(_) => "file_upload",
            Self::FineTune(_) => "fine_tune",
            Self::Http(_) => "http",
            Self::Image(_) => "image",
            Self::ListModels(_) => "list_models",
            Self::Moderate(_) => "moderate",
            Self::Opaque(_) => "opaque",
            Self::Realtime(_) => "realtime",
            Self::Search(_) => "search",
            Self::Speech(_) => "speech",
            Self::StoredRead(_) => "stored_read",
            Self::StoredWrite(_) => "stored_write",
            Self::ToolCall(_) => "tool_call",
            Self::TraceExport(_) => "trace_export",
            Self::Transcribe(_) => "transcribe",
            Self::Video(_) => "video",
        }
    }
}

/// Facts of the action `connect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// Server name the client asked for (SNI), lower case.
    pub host: String,
    /// Port of the original destination.
    pub port: u16,
}

/// Facts of the action `http`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// Request method, upper case.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query as sent, without `?`; empty if there is none.
    pub query: String,
    /// True if the request has a body, of whatever length and encoding.
    pub has_body: bool,
}

/// Facts of the action `opaque`: there are no half-known facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opaque {
    /// Request method, upper case.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Bytes of the body that were seen.
    pub size: i64,
    /// Why the body was not understood.
    pub cause: OpaqueCause,
    /// What exactly is wrong, in words; for people, not for rules. Missing where the cause says it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Why a body was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpaqueCause {
    /// It has a `Content-Encoding` that is not decoded, or does not decode.
    Encoding,
    /// Valid JSON whose fields are not those of the API.
    Fields,
    /// It is not JSON.
    NotJson,
    /// Its query names something that the API does not have there: the body may not be all that is asked.
    Query,
    /// It is larger than the limit.
    TooLarge,
    /// It ended before its declared length.
    Truncated,
}

impl OpaqueCause {
    /// The cause as rules see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Fields => "fields",
            Self::NotJson => "not_json",
            Self::Query => "query",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
        }
    }
}

/// What was seen of an answer so far, for accounting where the provider reports no usage, or a false one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Pieces of a streamed answer that hold text: about one for each token. Zero of a plain answer.
    pub pieces: u64,
    /// Bytes of its texts.
    pub text_bytes: u64,
}

impl Passed {
    /// Tokens that this is taken for where nobody reports how many there are: the larger of pieces and
    /// bytes by [`BYTES_PER_TOKEN`].
    #[must_use]
    pub const fn tokens(self) -> u64 {
        let by_bytes = self.text_bytes.div_ceil(BYTES_PER_TOKEN);
        if self.pieces > by_bytes { self.pieces } else { by_bytes }
    }
}

/// Tokens that the provider says it used. Budgets are charged at least what was seen of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the request.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
}
