// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests of the Responses API (openai-python 3.54, `types/responses/response_create_params.py`): new answers,
//! compaction, and counting tokens before.
//!
//! As strict as chat completions: what two readers could read differently has no facts. An item, a content part
//! or a tool of a type that is not listed here is a fact of its own (`unknown`) and is refused by no codec.

use std::collections::BTreeSet;

use crate::model::{Chat, CountTokens, Operation};
use crate::protocol::door::Asked;
use crate::protocol::json_tree::Node;

use super::names::{has_alias, model_if_any, name};
use super::offered::{Offered, TOOLS_MAX};
use super::{fields, files, tokens};

/// Most types of content parts of one request, and most unknown types.
const KINDS_MAX: usize = 64;
/// Fields that facts are made from.
const FIELDS: [&str; 12] = [
    "background_options",
    "conversation",
    "input",
    "instructions",
    "max_output_tokens",
    "model",
    "previous_response_id",
    "prompt",
    "store",
    "stream",
    "tool_choice",
    "tools",
];
/// The types of items (`response_input_item_param.py`).
const ITEMS: [&str; 31] = [
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "configuration_update",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "function_call",
    "function_call_output",
    "image_generation_call",
    "item_reference",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "message",
    "program",
    "program_output",
    "reasoning",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];
/// Members of items in which content stands, as a text or as parts.
const CONTENTS: [&str; 5] = ["content", "output", "outputs", "result", "summary"];

/// The facts of a chat; `None` if a field is not what the API says.
pub(super) fn operation(asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    let is_compacted = asked.door.path.ends_with("/compact");
    let (model, read) = read(asked, body)?;
    let stream = match body.set("stream") {
        None => false,
        Some(Node::Bool(stream)) => *stream,
        Some(_) => return None,
    };
    let store = match body.set("store") {
        None => !is_compacted,
        Some(Node::Bool(store)) => *store,
        Some(_) => return None,
    };
    let max_tokens = match body.set("max_output_tokens") {
        None => None,
        Some(node) => Some(i64::try_from(node.number()?).ok()?),
    };
    let has_previous = ["previous_response_id", "conversation", "prompt", "background_options"];
    Some(Operation::Chat(Chat {
        api: "responses".to_owned(),
        input_tokens: tokens::count_items(&model, body),
        model,
        stream,
        message_count: i64::try_from(read.items).ok()?,
        tools: read.offered.names,
        tool_choice: tool_choice(body)?,
        parts: read.parts,
        system: read.has_system,
        previous: read.has_previous || has_previous.iter().any(|name| body.set(name).is_some()),
        files: read.files,
        unknown: read.unknown.into_iter().chain(read.offered.unknown).collect(),
        max_tokens,
        n: 1,
        store,
    }))
}

/// The facts of a request that only counts tokens.
pub(super) fn count(asked: &Asked<'_>, body: &Node<'_>) -> Option<Operation> {
    let (model, _) = read(asked, body)?;
    let input_tokens = tokens::count_items(&model, body);
    Some(Operation::CountTokens(CountTokens { model, input_tokens }))
}

/// What is found in the texts and tools of a request.
#[derive(Debug, Default)]
struct Input {
    items: usize,
    offered: Offered,
    parts: BTreeSet<String>,
    files: BTreeSet<String>,
    unknown: BTreeSet<String>,
    has_system: bool,
    has_previous: bool,
}

fn read(asked: &Asked<'_>, body: &Node<'_>) -> Option<(String, Input)> {
    if fields::leads_elsewhere(body) || has_alias(body, &FIELDS) {
        return None;
    }
    // With a stored prompt the model may stand there.
    let model = model_if_any(asked, body)?;
    let mut input = Input::default();
    if let Some(instructions) = body.set("instructions") {
        input.has_system = !instructions.text()?.is_empty();
        input.text();
    }
    match body.set("input") {
        None => {}
        Some(Node::String(_)) => {
            input.items = 1;
            input.text();
        }
        Some(node) => {
            let items = node.items()?;
            input.items = items.len();
            items.iter().try_for_each(|item| input.item(item))?;
        }
    }
    if let Some(tools) = body.set("tools") {
        input.offered.tools(tools)?;
        files::add_all(&mut input.files, tools)?;
    }
    if let Some(choice) = body.set("tool_choice").filter(|choice| choice.at("tools").is_some()) {
        input.offered.tools(choice.at("tools")?)?;
    }
    input.offered.names.extend(fields::search_tool(body));
    let is_bounded = input.parts.len() <= KINDS_MAX
        && input.unknown.len() <= KINDS_MAX
        && input.offered.names.len() <= TOOLS_MAX;
    is_bounded.then_some((model, input))
}

impl Input {
    fn text(&mut self) {
        self.parts.insert("text".to_owned());
    }

    fn item(&mut self, item: &Node<'_>) -> Option<()> {
        // The type of messages and of references may be left out.
        let kind = match item.set("type") {
            Some(kind) => name(kind)?,
            None if item.set("role").is_some() => "message".to_owned(),
            None => {
                item.set("id")?.text()?;
                "item_reference".to_owned()
            }
        };
        match kind.as_str() {
            "message" => {
                let role = item.at("role")?.text()?;
                self.has_system |= matches!(role, "system" | "developer");
                let is_content = |node: &Node<'_>| matches!(node, Node::String(_) | Node::Array(_));
                if !item.set("content").is_none_or(is_content) {
                    return None;
                }
            }
            "item_reference" => self.has_previous = true,
            "image_generation_call" => {
                self.parts.insert("image_url".to_owned());
            }
            kind if !ITEMS.contains(&kind) => {
                self.unknown.insert(kind.to_owned());
            }
            _ => {}
        }
        for content in CONTENTS.iter().filter_map(|name| item.set(name)) {
            self.content(kind == "message", content)?;
        }
        if let Some(tools) = item.set("tools") {
            match item.set("server_label") {
                Some(label) => self.offered.listed(label, tools)?,
                None => self.offered.tools(tools)?,
            }
        }
        files::add_all(&mut self.files, item)
    }

    /// Content: a text, parts, or one part.
    fn content(&mut self, is_message: bool, content: &Node<'_>) -> Option<()> {
        match content {
            Node::String(_) => self.text(),
            Node::Array(parts) => {
                for part in parts {
                    match part.set("type") {
                        Some(kind) => self.part(kind, part)?,
                        None if is_message => return None,
                        None => self.text(),
                    }
                }
            }
            Node::Object(_) => match content.set("type") {
                Some(kind) => self.part(kind, content)?,
                None => self.text(),
            },
            Node::Null | Node::Bool(_) | Node::Number(_) => {}
        }
        Some(())
    }

    /// A part counts by its type, and by what it holds, whatever type it says it has.
    fn part(&mut self, kind: &Node<'_>, part: &Node<'_>) -> Option<()> {
        let kind = name(kind)?;
        let word = match kind.as_str() {
            "text" | "input_text" | "output_text" | "summary_text" | "reasoning_text" | "logs" => {
                "text"
            }
            "input_image" | "computer_screenshot" | "image" => "image_url",
            "input_file" => "file",
            "input_audio" => "input_audio",
            "refusal" => "refusal",
            other => {
                self.unknown.insert(other.to_owned());
                other
            }
        };
        self.parts.insert(word.to_owned());
        let holds = [
            ("image_url", "image_url"),
            ("file_data", "file"),
            ("file_url", "file"),
            ("input_audio", "input_audio"),
        ];
        let held = holds.iter().filter(|(member, _)| part.set(member).is_some());
        self.parts.extend(held.map(|(_, word)| (*word).to_owned()));
        Some(())
    }
}

/// Which tool the model should use; `None` if that is not what the API says.
fn tool_choice(body: &Node<'_>) -> Option<String> {
    let Some(choice) = body.set("tool_choice") else { return Some(String::new()) };
    if choice.text().is_some() {
        return name(choice);
    }
    if let Some(named) = choice.set("name") {
        return name(named);
    }
    match choice.set("server_label") {
        Some(label) => Some(format!("mcp:{}", name(label)?)),
        None => name(choice.at("type")?),
    }
}
