// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls by their form. Each API has its own; a call is one in whatever answer it stands.
//!
//! Chat completions have lists `tool_calls` and an older object `function_call`. Responses have items whose type ends
//! in `_call`, and `mcp_approval_request`. Anthropic has blocks whose type ends in `tool_use`. Results of calls that
//! the provider ran are known by the id of their call.

use serde_json::{Map, Value};

use super::arguments::Arguments;
use crate::model::{ToolCall, ToolKind};

/// Members of an item that are no arguments: names, states, and results.
const ENVELOPE: [&str; 17] = [
    "approval_request_id",
    "caller",
    "call_id",
    "created_by",
    "error",
    "id",
    "name",
    "namespace",
    "output",
    "outputs",
    "result",
    "results",
    "server_label",
    "server_name",
    "status",
    "type",
    "cache_control",
];
/// Tools of Anthropic that the agent runs as a shell or an editor.
const SHELL_TOOLS: [&str; 3] = ["bash", "str_replace_based_edit_tool", "str_replace_editor"];

/// A call as it stands in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its id, by which results refer to it; empty if it has none.
    pub(super) id: String,
    pub(super) call: ToolCall,
}

/// In which form a call, or its result, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A block of a message.
    Block,
    /// An item of an answer.
    Item,
}

/// The form of a value that is a call.
pub(super) fn form_of_call(value: &Value) -> Option<Form> {
    match kind(value)? {
        kind if kind.ends_with("tool_use") => Some(Form::Block),
        kind if kind.ends_with("_call") || kind == "mcp_approval_request" => Some(Form::Item),
        _ => None,
    }
}

/// The form of a value that is the result of a call, and the id of that call.
pub(super) fn form_of_result(value: &Value) -> Option<(Form, &str)> {
    let id = |name: &str| value.get(name).and_then(Value::as_str);
    match kind(value)? {
        kind if kind.ends_with("tool_result") => Some((Form::Block, id("tool_use_id")?)),
        kind if kind.ends_with("_call_output") => Some((Form::Item, id("call_id")?)),
        _ => None,
    }
}

fn kind(value: &Value) -> Option<&str> {
    value.get("type").and_then(Value::as_str)
}

pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Found {
    /// An entry of `tool_calls`, or the object `function_call`.
    pub(super) fn of_chat(value: &Value) -> Self {
        let id = text(value, "id").to_owned();
        let kind = if value.get("custom").is_some() { "custom" } else { text(value, "type") };
        if let Some(function) = value.get("function").or_else(|| {
            let is_older = value.get("type").is_none() && value.get("name").is_some();
            is_older.then_some(value)
        }) {
            let arguments = json_or_text(function.get("arguments"));
            return Self::new(id, ToolKind::Function, text(function, "name"), "", arguments);
        }
        if let Some(custom) = value.get("custom") {
            let arguments = Arguments::free(text(custom, "input"));
            return Self::new(id, ToolKind::Custom, text(custom, "name"), "", arguments);
        }
        let kind_of = match kind {
            "code_interpreter" => ToolKind::Code,
            "file_search" => ToolKind::FileSearch,
            _ => ToolKind::Other,
        };
        Self::new(id, kind_of, kind, "", Arguments::of(&arguments_of(value)))
    }

    /// An item or a block.
    pub(super) fn of_typed(value: &Value) -> Self {
        let id = ["call_id", "id"].iter().map(|name| text(value, name));
        let id = id.into_iter().find(|id| !id.is_empty()).unwrap_or_default().to_owned();
        let kind = kind(value).unwrap_or_default();
        let name = match text(value, "name") {
            "" => kind.strip_suffix("_call").unwrap_or(kind),
            name => name,
        };
        let server = match text(value, "server_label") {
            "" => text(value, "server_name"),
            label => label,
        };
        let arguments = match kind {
            "custom_tool_call" => Arguments::free(text(value, "input")),
            "code_interpreter_call" => Arguments::free(text(value, "code")),
            kind if kind.ends_with("tool_use") => json_or_text(value.get("input")),
            _ => match value.get("arguments") {
                None => Arguments::of(&arguments_of(value)),
                arguments => json_or_text(arguments),
            },
        };
        Self::new(id, tool_kind(kind, name), name, server, arguments)
    }

    fn new(id: String, kind: ToolKind, name: &str, server: &str, arguments: Arguments) -> Self {
        let Arguments { text, scalars, is_whole } = arguments;
        let (name, server) = (name.to_owned(), server.to_owned());
        let call = ToolCall { name, kind, server, arguments: text, scalars, asked: true, is_whole };
        Self { id, call }
    }

    /// The same call with arguments that were put together from pieces.
    pub(super) fn with_text(&self, text: &str) -> Self {
        let is_free = matches!(self.call.kind, ToolKind::Custom | ToolKind::Code);
        let Arguments { text, scalars, is_whole } =
            if is_free { Arguments::free(text) } else { Arguments::json(text) };
        let call = ToolCall { arguments: text, scalars, is_whole, ..self.call.clone() };
        Self { id: self.id.clone(), call }
    }
}

fn tool_kind(kind: &str, name: &str) -> ToolKind {
    match kind {
        "function_call" => ToolKind::Function,
        "custom_tool_call" => ToolKind::Custom,
        "mcp_call" | "mcp_approval_request" | "mcp_tool_use" => ToolKind::Mcp,
        "local_shell_call" | "shell_call" | "apply_patch_call" => ToolKind::Shell,
        "computer_call" => ToolKind::Computer,
        "code_interpreter_call" => ToolKind::Code,
        "web_search_call" => ToolKind::WebSearch,
        "file_search_call" => ToolKind::FileSearch,
        "image_generation_call" => ToolKind::Image,
        "tool_use" if SHELL_TOOLS.contains(&name) => ToolKind::Shell,
        "tool_use" if name == "computer" => ToolKind::Computer,
        "tool_use" => ToolKind::Function,
        "server_tool_use" => match name {
            "web_search" | "web_fetch" => ToolKind::WebSearch,
            "code_execution" => ToolKind::Code,
            "bash_code_execution" | "text_editor_code_execution" => ToolKind::Shell,
            _ => ToolKind::Other,
        },
        _ => ToolKind::Other,
    }
}

/// Arguments as a text that should be JSON, or as JSON.
fn json_or_text(value: Option<&Value>) -> Arguments {
    match value {
        None | Some(Value::Null) => Arguments::free(""),
        Some(Value::String(text)) => Arguments::json(text),
        Some(value) => Arguments::of(value),
    }
}

/// What of an item are arguments.
fn arguments_of(value: &Value) -> Value {
    let Value::Object(members) = value else { return Value::Null };
    let own = members.iter().filter(|(name, _)| is_argument(name));
    Value::Object(own.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

/// Whether a member of an item or a block is an argument.
pub(super) fn is_argument(name: &str) -> bool {
    !ENVELOPE.contains(&name)
}
