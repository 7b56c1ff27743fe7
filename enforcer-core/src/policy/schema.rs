// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The facts of each action, three times the same: as Cedar schema for rules, as table for cases and the
//! command line, as conversion for the data path. A test holds the three together.

use std::collections::BTreeMap;

use cedar_policy::{Context, RestrictedExpression};
use serde_json::{Map, Value};

use crate::model::{DetectorName, Facts, OpaqueCause, Operation};

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
    /// An empty text or set, `false`, or this number.
    Default(i64),
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

/// Every action of this version.
pub const ACTIONS: &[ActionSpec] = &[
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
            fact("model", FactKind::String, Otherwise::Required),
            fact("stream", FactKind::Bool, Otherwise::Default(0)),
            fact("message_count", FactKind::Long, Otherwise::Default(1)),
            fact("tools", FactKind::StringSet, Otherwise::Default(0)),
            fact("parts", FactKind::StringSet, Otherwise::Default(0)),
            fact("max_tokens", FactKind::Long, Otherwise::Absent),
            fact("input_tokens", FactKind::Long, Otherwise::Required),
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
    ActionSpec {
        name: "opaque",
        facts: &[
            fact("method", FactKind::String, Otherwise::Required),
            fact("path", FactKind::String, Otherwise::Required),
            fact("size", FactKind::Long, Otherwise::Required),
            fact("cause", FactKind::String, Otherwise::Required),
        ],
    },
    ActionSpec {
        name: "speech",
        facts: &[
            fact("model", FactKind::String, Otherwise::Required),
            fact("input_tokens", FactKind::Long, Otherwise::Required),
        ],
    },
    ActionSpec {
        name: "trace_export",
        facts: &[fact("item_count", FactKind::Long, Otherwise::Required)],
    },
    ActionSpec { name: "transcribe", facts: &[fact("size", FactKind::Long, Otherwise::Required)] },
];

/// Actions of the language that no protocol of this version has.
pub(super) const ACTIONS_LATER: &[&str] =
    &["delete", "query", "realtime", "resolve", "tool_call", "upsert"];

/// Actions whose requests are understood well enough to be masked.
pub(super) const REQUEST_MASKABLE: &[&str] =
    &["batch", "chat", "embed", "fine_tune", "image", "speech", "trace_export"];
/// Actions whose answers are.
pub(super) const RESPONSE_MASKABLE: &[&str] = &["chat"];
/// Actions after whose answers it is known what they cost.
pub(super) const METERED: &[&str] = &["chat", "embed"];

/// Groups of actions and their members.
pub(super) const ACTION_GROUPS: &[(&str, &[&str])] = &[
    (
        "any",
        &[
            "batch",
            "chat",
            "connect",
            "embed",
            "file_read",
            "file_upload",
            "fine_tune",
            "http",
            "image",
            "opaque",
            "speech",
            "trace_export",
            "transcribe",
        ],
    ),
    ("admin", &["batch", "fine_tune"]),
    ("data_read", &["file_read"]),
    ("data_write", &["file_upload"]),
    ("model_use", &["chat", "embed", "image", "speech"]),
];

/// Names of all actions and groups of actions.
pub(super) fn action_names() -> impl Iterator<Item = &'static str> {
    let groups = ACTION_GROUPS.iter().map(|(group, _)| *group);
    ACTIONS.iter().map(|action| action.name).chain(groups)
}

/// What `context.cause` may be.
pub(super) const CAUSES: &[&str] = &[
    OpaqueCause::Encoding.as_str(),
    OpaqueCause::Fields.as_str(),
    OpaqueCause::NotJson.as_str(),
    OpaqueCause::TooLarge.as_str(),
    OpaqueCause::Truncated.as_str(),
];

/// The Cedar schema that every bundle is checked against.
#[must_use]
pub const fn schema_text() -> &'static str {
    include_str!("schema.cedarschema")
}

/// The JSON Schema of `policy.toml`, for editors. What it accepts the loader may still refuse: it knows forms, not
/// names. A test holds the two together.
#[must_use]
pub const fn inventory_schema_text() -> &'static str {
    include_str!("policy.schema.json")
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
            (None, Otherwise::Default(number)) => match spec.kind {
                FactKind::Bool => false.into(),
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

/// The facts that are read, as Cedar sees them. Nothing comes back if Cedar refuses them, and that denies.
pub(super) fn context(facts: &Facts, is_read: impl Fn(&str) -> bool) -> Option<Context> {
    let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
    let long = RestrictedExpression::new_long;
    let mut pairs: Vec<(String, RestrictedExpression)> = Vec::with_capacity(8);
    let mut put = |name: &str, value: &dyn Fn() -> RestrictedExpression| {
        if is_read(name) {
            pairs.push((name.to_owned(), value()));
        }
    };
    put("detected", &|| set(facts.detected.iter().map(DetectorName::as_str)));
    match &facts.operation {
        Operation::Batch(batch) => {
            put("target", &|| text(&batch.target));
            put("input_file", &|| text(&batch.input_file));
        }
        Operation::Chat(chat) => {
            put("model", &|| text(&chat.model));
            put("stream", &|| RestrictedExpression::new_bool(chat.stream));
            put("message_count", &|| long(chat.message_count));
            put("tools", &|| set(chat.tools.iter().map(String::as_str)));
            put("parts", &|| set(chat.parts.iter().map(String::as_str)));
            put("input_tokens", &|| long(chat.input_tokens));
            if let Some(max_tokens) = chat.max_tokens {
                put("max_tokens", &|| long(max_tokens));
            }
        }
        Operation::Connect(connect) => {
            put("host", &|| text(&connect.host));
            put("port", &|| long(i64::from(connect.port)));
        }
        Operation::Embed(embed) => {
            put("model", &|| text(&embed.model));
            put("input_count", &|| long(embed.input_count));
            put("input_tokens", &|| long(embed.input_tokens));
        }
        Operation::FileRead(read) => {
            put("path", &|| text(&read.path));
            put("is_content", &|| RestrictedExpression::new_bool(read.is_content));
        }
        Operation::FileUpload(upload) | Operation::Transcribe(upload) => {
            put("size", &|| long(upload.size));
        }
        Operation::FineTune(tune) => {
            put("model", &|| text(&tune.model));
            put("training_file", &|| text(&tune.training_file));
        }
        Operation::Http(http) => {
            put("method", &|| text(&http.method));
            put("path", &|| text(&http.path));
            put("query", &|| text(&http.query));
            put("has_body", &|| RestrictedExpression::new_bool(http.has_body));
        }
        Operation::Image(image) => {
            put("model", &|| text(&image.model));
            put("count", &|| long(image.count));
        }
        Operation::Opaque(opaque) => {
            put("method", &|| text(&opaque.method));
            put("path", &|| text(&opaque.path));
            put("size", &|| long(opaque.size));
            put("cause", &|| text(opaque.cause.as_str()));
        }
        Operation::Speech(speech) => {
            put("model", &|| text(&speech.model));
            put("input_tokens", &|| long(speech.input_tokens));
        }
        Operation::TraceExport(traces) => put("item_count", &|| long(traces.item_count)),
    }
    Context::from_pairs(pairs).ok()
}

fn set<'a>(values: impl Iterator<Item = &'a str>) -> RestrictedExpression {
    RestrictedExpression::new_set(
        values.map(|value| RestrictedExpression::new_string(value.to_owned())),
    )
}
