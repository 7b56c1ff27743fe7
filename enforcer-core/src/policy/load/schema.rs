// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The facts of each action, three times the same: as Cedar schema for rules, as table for cases and the
//! command line, as conversion for the data path. A test holds the three together.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Context, RestrictedExpression};
use serde_json::{Map, Value};

use crate::model::{Call, Chat, DetectorName, Facts, OpaqueCause, Operation, ToolCall, ToolKind};

use super::closest::{closest, closest_of};

/// Type of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    /// `true` or `false`.
    Bool,
    /// A 64-bit integer.
    Long,
    /// A text.
    String,
    /// A set of texts.
    StringSet,
}

impl FactKind {
    /// The type in words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Long => "an integer",
            Self::String => "a string",
            Self::StringSet => "an array of strings",
        }
    }
}

/// What stands in for a fact that a case does not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// The fact is not there.
    Absent,
    /// An empty text or set, this number, or `true` for any number but 0.
    Default(i64),
    /// This text.
    Text(&'static str),
    /// It has to be given.
    Required,
}

/// One fact of an action.
#[derive(Clone, Copy, Debug)]
pub struct FactSpec {
    /// Name in rules: `context.NAME`.
    pub name: &'static str,
    /// Its type.
    pub kind: FactKind,
    /// What stands in for it when a case does not give it.
    pub otherwise: Otherwise,
}

/// One action and its facts. `detected` belongs to every action and is not listed.
#[derive(Clone, Copy, Debug)]
pub struct ActionSpec {
    /// Name in rules: `Action::"NAME"`.
    pub name: &'static str,
    /// Its facts.
    pub facts: &'static [FactSpec],
}

const fn fact(name: &'static str, kind: FactKind, otherwise: Otherwise) -> FactSpec {
    FactSpec { name, kind, otherwise }
}

/// Facts of actions that have none of their own.
const CALL: &[FactSpec] = &[
    fact("method", FactKind::String, Otherwise::Required),
    fact("path", FactKind::String, Otherwise::Required),
    fact("query", FactKind::String, Otherwise::Default(0)),
    fact("door", FactKind::String, Otherwise::Default(0)),
    fact("model", FactKind::String, Otherwise::Default(0)),
    fact("has_body", FactKind::Bool, Otherwise::Default(0)),
];

/// The action of a call that a model asks for, or that is sent to a tool server.
pub(in crate::policy) const TOOL_CALL: &str = "tool_call";

/// The group of all actions.
pub(in crate::policy) const ANY: &str = "any";

/// Every action of this version.
pub const ACTIONS: &[ActionSpec] = &[
    ActionSpec { name: "administer", facts: CALL },
    ActionSpec { name: "agent_run", facts: CALL },
    ActionSpec {
        name: "batch",
        facts: &[
            fact("target", FactKind::String, Otherwise::Required),
            fact("input_file", FactKind::String, Otherwise::Required),
        ],
    },
    ActionSpec {
        name: "chat",
        facts: &[
            fact("api", FactKind::String, Otherwise::Text("chat_completions")),
            fact("model", FactKind::String, Otherwise::Required),
            fact("stream", FactKind::Bool, Otherwise::Default(0)),
            fact("message_count", FactKind::Long, Otherwise::Default(1)),
            fact("tools", FactKind::StringSet, Otherwise::Default(0)),
            fact("tool_choice", FactKind::String, Otherwise::Default(0)),
            fact("parts", FactKind::StringSet, Otherwise::Default(0)),
            fact("system", FactKind::Bool, Otherwise::Default(0)),
            fact("previous", FactKind::Bool, Otherwise::Default(0)),
            fact("files", FactKind::StringSet, Otherwise::Default(0)),
            fact("unknown", FactKind::StringSet, Otherwise::Default(0)),
            fact("max_tokens", FactKind::Long, Otherwise::Absent),
            fact("input_tokens", FactKind::Long, Otherwise::Required),
            fact("n", FactKind::Long, Otherwise::Default(1)),
            fact("store", FactKind::Bool, Otherwise::Default(0)),
        ],
    },
    ActionSpec {
        name: "connect",
        facts: &[
            fact("host", FactKind::String, Otherwise::Required),
            fact("port", FactKind::Long, Otherwise::Default(443)),
        ],
    },
    ActionSpec {
        name: "count_tokens",
        facts: &[
            fact("model", FactKind::String, Otherwise::Default(0)),
            fact("input_tokens", FactKind::Long, Otherwise::Required),
        ],
    },
    ActionSpec {
        name: "embed",
        facts: &[
            fact("model", FactKind::String, Otherwise::Required),
            fact("input_count", FactKind::Long, Otherwise::Default(1)),
            fact("input_tokens", FactKind::Long, Otherwise::Required),
        ],
    },
    ActionSpec {
        name: "file_read",
        facts: &[
            fact("path", FactKind::String, Otherwise::Required),
            fact("is_content", FactKind::Bool, Otherwise::Default(0)),
        ],
    },
    ActionSpec { name: "file_upload", facts: &[fact("size", FactKind::Long, Otherwise::Required)] },
    ActionSpec {
        name: "fine_tune",
        facts: &[
            fact("model", FactKind::String, Otherwise::Required),
            fact("training_file", FactKind::String, Otherwise::Required),
        ],
    },
    ActionSpec {
        name: "http",
        facts: &[
            fact("method", FactKind::String, Otherwise::Required),
            fact("path", FactKind::String, Otherwise::Required),
            fact("query", FactKind::String, Otherwise::Default(0)),
            fact("has_body", FactKind::Bool, Otherwise::Default(0)),
        ],
    },
    ActionSpec {
        name: "image",
        facts: &[
            fact("model", FactKind::String, Otherwise::Default(0)),
            fact("count", FactKind::Long, Otherwise::Default(1)),
        ],
    },
    ActionSpec { name: "list_models", facts: CALL },
    ActionSpec {
        name: "moderate",
        facts: &[
            fact("model", FactKind::String, Otherwise::Default(0)),
            fact("input_count", FactKind::Long, Otherwise::Default(1)),
        ],
    },
    ActionSpec {
        name: "opaque",
        facts: &[
            fact("method", FactKind::String, Otherwise::Required),
            fact("path", FactKind::String, Otherwise::Required),
            fact("size", FactKind::Long, Otherwise::Required),
            fact("cause", FactKind::String, Otherwise::Required),
        ],
    },
    ActionSpec { name: "realtime", facts: CALL },
    ActionSpec { name: "search", facts: CALL },
    ActionSpec {
        name: "speech",
        facts: &[
            fact("model", FactKind::String, Otherwise::Required),
            fact("input_tokens", FactKind::Long, Otherwise::Required),
        ],
    },
    ActionSpec { name: "stored_read", facts: CALL },
    ActionSpec { name: "stored_write", facts: CALL },
    ActionSpec {
        name: TOOL_CALL,
        facts: &[
            fact("name", FactKind::String, Otherwise::Required),
            fact("kind", FactKind::String, Otherwise::Required),
            fact("server", FactKind::String, Otherwise::Default(0)),
            fact("arguments", FactKind::String, Otherwise::Default(0)),
            fact("scalars", FactKind::StringSet, Otherwise::Default(0)),
            fact("asked", FactKind::Bool, Otherwise::Default(1)),
            fact("is_whole", FactKind::Bool, Otherwise::Default(1)),
        ],
    },
    ActionSpec {
        name: "trace_export",
        facts: &[fact("item_count", FactKind::Long, Otherwise::Required)],
    },
    ActionSpec { name: "transcribe", facts: &[fact("size", FactKind::Long, Otherwise::Required)] },
    ActionSpec { name: "video", facts: CALL },
];

/// Actions of the language that no protocol of this version has.
pub(super) const ACTIONS_LATER: &[&str] = &["delete", "query", "resolve", "upsert"];

/// Actions whose requests are understood well enough to be masked.
pub(in crate::policy) const REQUEST_MASKABLE: &[&str] = &[
    "administer",
    "agent_run",
    "batch",
    "chat",
    "count_tokens",
    "embed",
    "fine_tune",
    "image",
    "moderate",
    "realtime",
    "search",
    "speech",
    "stored_write",
    "trace_export",
    "video",
];
/// Actions whose answers are.
pub(in crate::policy) const RESPONSE_MASKABLE: &[&str] = &[
    "administer",
    "agent_run",
    "chat",
    "count_tokens",
    "list_models",
    "moderate",
    "search",
    "stored_read",
    "stored_write",
    TOOL_CALL,
];
/// Actions after whose answers it is known what they cost.
pub(in crate::policy) const METERED: &[&str] = &["chat", "count_tokens", "embed"];

/// Groups of actions and their members.
pub(in crate::policy) const ACTION_GROUPS: &[(&str, &[&str])] = &[
    (
        ANY,
        &[
            "administer",
            "agent_run",
            "batch",
            "chat",
            "connect",
            "count_tokens",
            "embed",
            "file_read",
            "file_upload",
            "fine_tune",
            "http",
            "image",
            "list_models",
            "moderate",
            "opaque",
            "realtime",
            "search",
            "speech",
            "stored_read",
            "stored_write",
            TOOL_CALL,
            "trace_export",
            "transcribe",
            "video",
        ],
    ),
    ("admin", &["administer", "batch", "fine_tune"]),
    ("data_read", &["file_read", "search", "stored_read"]),
    ("data_write", &["file_upload", "stored_write"]),
    (
        "model_use",
        &[
            "agent_run",
            "chat",
            "count_tokens",
            "embed",
            "image",
            "list_models",
            "moderate",
            "realtime",
            "speech",
            "video",
        ],
    ),
];

/// Names of all actions and groups of actions.
pub(in crate::policy) fn action_names() -> impl Iterator<Item = &'static str> {
    let groups = ACTION_GROUPS.iter().map(|(group, _)| *group);
    ACTIONS.iter().map(|action| action.name).chain(groups)
}

/// The action that was probably meant: a group of actions only where one may stand and was nearly written.
pub(in crate::policy) fn closest_action(written: &str, is_single: bool) -> Option<&'static str> {
    let singles = ACTIONS.iter().map(|action| action.name);
    if is_single {
        return closest(written, singles);
    }
    closest_of(written, singles, ACTION_GROUPS.iter().map(|(group, _)| *group))
}

/// What `context.cause` may be.
pub(in crate::policy) const CAUSES: &[&str] = &[
    OpaqueCause::Encoding.as_str(),
    OpaqueCause::Fields.as_str(),
    OpaqueCause::NotJson.as_str(),
    OpaqueCause::Query.as_str(),
    OpaqueCause::TooLarge.as_str(),
    OpaqueCause::Truncated.as_str(),
];

/// What `context.kind` may be.
pub(in crate::policy) const KINDS: &[&str] = &[
    ToolKind::Code.as_str(),
    ToolKind::Computer.as_str(),
    ToolKind::Custom.as_str(),
    ToolKind::FileSearch.as_str(),
    ToolKind::Function.as_str(),
    ToolKind::Image.as_str(),
    ToolKind::Mcp.as_str(),
    ToolKind::Other.as_str(),
    ToolKind::Shell.as_str(),
    ToolKind::WebSearch.as_str(),
];

/// The Cedar schema that every bundle is checked against.
#[must_use]
pub const fn schema_text() -> &'static str {
    include_str!("schema/schema.cedarschema")
}

/// The JSON Schema of `policy.toml`, for editors. What it accepts the loader may still refuse: it knows forms, not
/// names. A test holds the two together.
#[must_use]
pub const fn inventory_schema_text() -> &'static str {
    include_str!("schema/policy.schema.json")
}

/// The action of this name.
#[must_use]
pub fn action(name: &str) -> Option<&'static ActionSpec> {
    ACTIONS.iter().find(|action| action.name == name)
}

/// A fact as a case or a command line gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactValue {
    /// For [`FactKind::Bool`].
    Bool(bool),
    /// For [`FactKind::Long`].
    Long(i64),
    /// For [`FactKind::String`].
    String(String),
    /// For [`FactKind::StringSet`].
    StringSet(Vec<String>),
}

/// Builds an operation from single facts; the error says which fact is missing or wrong.
pub fn operation(
    action: &ActionSpec,
    given: &BTreeMap<String, FactValue>,
) -> Result<Operation, String> {
    let mut fields = Map::new();
    fields.insert("action".to_owned(), action.name.into());
    let mut missing = Vec::new();
    for spec in action.facts {
        let value = match (given.get(spec.name), spec.otherwise) {
            (Some(FactValue::Bool(value)), _) => (*value).into(),
            (Some(FactValue::Long(value)), _) => (*value).into(),
            (Some(FactValue::String(value)), _) => value.clone().into(),
            (Some(FactValue::StringSet(values)), _) => values.clone().into(),
            (None, Otherwise::Absent) => continue,
            (None, Otherwise::Required) => {
                missing.push(format!("`{}`", spec.name));
                continue;
            }
            (None, Otherwise::Text(text)) => text.into(),
            (None, Otherwise::Default(number)) => match spec.kind {
                FactKind::Bool => (number != 0).into(),
                FactKind::Long => number.into(),
                FactKind::String => Value::String(String::new()),
                FactKind::StringSet => Value::Array(Vec::new()),
            },
        };
        fields.insert(spec.name.to_owned(), value);
    }
    if !missing.is_empty() {
        return Err(format!("action `{}` needs {}", action.name, missing.join(", ")));
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

/// What the detectors found: a fact of every action.
pub(in crate::policy) const DETECTED: &str = "detected";

/// A fact, as rules see it.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) enum Fact<'f> {
    Bool(bool),
    Long(i64),
    Text(&'f str),
    Texts(&'f BTreeSet<String>),
    Detectors(&'f BTreeSet<DetectorName>),
}

/// The fact of this name; nothing if the action has none, or it is not there.
pub(in crate::policy) fn fact_of<'f>(facts: &'f Facts, name: &str) -> Option<Fact<'f>> {
    if name == DETECTED {
        return Some(Fact::Detectors(&facts.detected));
    }
    Some(match (&facts.operation, name) {
        (
            Operation::Administer(call)
            | Operation::AgentRun(call)
            | Operation::ListModels(call)
            | Operation::Realtime(call)
            | Operation::Search(call)
            | Operation::StoredRead(call)
            | Operation::StoredWrite(call)
            | Operation::Video(call),
            name,
        ) => fact_of_call(call, name)?,
        (Operation::Batch(batch), "target") => Fact::Text(&batch.target),
        (Operation::Batch(batch), "input_file") => Fact::Text(&batch.input_file),
        (Operation::Chat(chat), name) => fact_of_chat(chat, name)?,
        (Operation::Connect(connect), "host") => Fact::Text(&connect.host),
        (Operation::Connect(connect), "port") => Fact::Long(i64::from(connect.port)),
        (Operation::CountTokens(count), "model") => Fact::Text(&count.model),
        (Operation::CountTokens(count), "input_tokens") => Fact::Long(count.input_tokens),
        (Operation::Embed(embed), "model") => Fact::Text(&embed.model),
        (Operation::Embed(embed), "input_count") => Fact::Long(embed.input_count),
        (Operation::Embed(embed), "input_tokens") => Fact::Long(embed.input_tokens),
        (Operation::FileRead(read), "path") => Fact::Text(&read.path),
        (Operation::FileRead(read), "is_content") => Fact::Bool(read.is_content),
        (Operation::FileUpload(upload) | Operation::Transcribe(upload), "size") => {
            Fact::Long(upload.size)
        }
        (Operation::FineTune(tune), "model") => Fact::Text(&tune.model),
        (Operation::FineTune(tune), "training_file") => Fact::Text(&tune.training_file),
        (Operation::Http(http), "method") => Fact::Text(&http.method),
        (Operation::Http(http), "path") => Fact::Text(&http.path),
        (Operation::Http(http), "query") => Fact::Text(&http.query),
        (Operation::Http(http), "has_body") => Fact::Bool(http.has_body),
        (Operation::Image(image), "model") => Fact::Text(&image.model),
        (Operation::Image(image), "count") => Fact::Long(image.count),
        (Operation::Moderate(moderate), "model") => Fact::Text(&moderate.model),
        (Operation::Moderate(moderate), "input_count") => Fact::Long(moderate.input_count),
        (Operation::Opaque(opaque), "method") => Fact::Text(&opaque.method),
        (Operation::Opaque(opaque), "path") => Fact::Text(&opaque.path),
        (Operation::Opaque(opaque), "size") => Fact::Long(opaque.size),
        (Operation::Opaque(opaque), "cause") => Fact::Text(opaque.cause.as_str()),
        (Operation::Speech(speech), "model") => Fact::Text(&speech.model),
        (Operation::Speech(speech), "input_tokens") => Fact::Long(speech.input_tokens),
        (Operation::ToolCall(call), name) => fact_of_tool_call(call, name)?,
        (Operation::TraceExport(traces), "item_count") => Fact::Long(traces.item_count),
        _ => return None,
    })
}

fn fact_of_chat<'f>(chat: &'f Chat, name: &str) -> Option<Fact<'f>> {
    Some(match name {
        "api" => Fact::Text(&chat.api),
        "model" => Fact::Text(&chat.model),
        "stream" => Fact::Bool(chat.stream),
        "message_count" => Fact::Long(chat.message_count),
        "tools" => Fact::Texts(&chat.tools),
        "tool_choice" => Fact::Text(&chat.tool_choice),
        "parts" => Fact::Texts(&chat.parts),
        "system" => Fact::Bool(chat.system),
        "previous" => Fact::Bool(chat.previous),
        "files" => Fact::Texts(&chat.files),
        "unknown" => Fact::Texts(&chat.unknown),
        "max_tokens" => Fact::Long(chat.max_tokens?),
        "input_tokens" => Fact::Long(chat.input_tokens),
        "n" => Fact::Long(chat.n),
        "store" => Fact::Bool(chat.store),
        _ => return None,
    })
}

fn fact_of_call<'f>(call: &'f Call, name: &str) -> Option<Fact<'f>> {
    Some(match name {
        "method" => Fact::Text(&call.method),
        "path" => Fact::Text(&call.path),
        "query" => Fact::Text(&call.query),
        "door" => Fact::Text(&call.door),
        "model" => Fact::Text(&call.model),
        "has_body" => Fact::Bool(call.has_body),
        _ => return None,
    })
}

/// Scalars of which some are missing are no fact: a rule that reads them errs, and so denies.
fn fact_of_tool_call<'f>(call: &'f ToolCall, name: &str) -> Option<Fact<'f>> {
    Some(match name {
        "name" => Fact::Text(&call.name),
        "kind" => Fact::Text(call.kind.as_str()),
        "server" => Fact::Text(&call.server),
        "arguments" => Fact::Text(&call.arguments),
        "scalars" if call.is_whole => Fact::Texts(&call.scalars),
        "asked" => Fact::Bool(call.asked),
        "is_whole" => Fact::Bool(call.is_whole),
        _ => return None,
    })
}

/// The facts that are read, as Cedar sees them. Nothing comes back if Cedar refuses them, and that denies.
pub(in crate::policy) fn context(facts: &Facts, is_read: impl Fn(&str) -> bool) -> Option<Context> {
    let own = action(facts.operation.action())?.facts.iter().map(|fact| fact.name);
    let names = [DETECTED].into_iter().chain(own).filter(|name| is_read(name));
    let pairs = names.filter_map(|name| Some((name.to_owned(), fact_of(facts, name)?.to_cedar())));
    Context::from_pairs(pairs).ok()
}

impl Fact<'_> {
    fn to_cedar(self) -> RestrictedExpression {
        match self {
            Self::Bool(is) => RestrictedExpression::new_bool(is),
            Self::Long(number) => RestrictedExpression::new_long(number),
            Self::Text(text) => RestrictedExpression::new_string(text.to_owned()),
            Self::Texts(texts) => set(texts.iter().map(String::as_str)),
            Self::Detectors(names) => set(names.iter().map(DetectorName::as_str)),
        }
    }
}

fn set<'a>(values: impl Iterator<Item = &'a str>) -> RestrictedExpression {
    RestrictedExpression::new_set(
        values.map(|value| RestrictedExpression::new_string(value.to_owned())),
    )
}
