// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the messages of a request hold: blocks, and the blocks within them.

use std::collections::BTreeSet;

use crate::protocol::json_tree::Node;
use crate::protocol::names::name;

/// Most types of blocks of one request.
const PARTS_MAX: usize = 64;
/// Most files of one request that are a fact.
const FILES_MAX: usize = 1024;
/// Longest id or address of a file as a fact, in bytes.
const FILE_BYTES_MAX: usize = 2048;
/// Members in which blocks stand within a block.
const NESTED: [&str; 4] = ["content", "source", "tool", "tool_changes"];

/// Types of blocks whose word is the one that it has in every API. Calls and answers of tools are no parts of their
/// own; what is in them is.
const WORDS: [(&str, &str); 11] = [
    ("compaction", "text"),
    ("content", "text"),
    ("document", "file"),
    ("image", "image_url"),
    ("mcp_tool_result", "text"),
    ("mcp_tool_use", "text"),
    ("server_tool_use", "text"),
    ("text", "text"),
    ("thinking", "text"),
    ("tool_result", "text"),
    ("tool_use", "text"),
];
/// Types of blocks that keep their own word (anthropic-sdk-python `types/beta/*_block_param.py`).
const KNOWN: [&str; 35] = [
    "advisor_redacted_result",
    "advisor_result",
    "advisor_tool_result",
    "advisor_tool_result_error",
    "bash_code_execution_output",
    "bash_code_execution_result",
    "bash_code_execution_tool_result",
    "bash_code_execution_tool_result_error",
    "browser_state",
    "code_execution_output",
    "code_execution_result",
    "code_execution_tool_result",
    "code_execution_tool_result_error",
    "container_upload",
    "encrypted_code_execution_result",
    "fallback",
    "mcp_tool_listing",
    "redacted_thinking",
    "search_result",
    "text_editor_code_execution_create_result",
    "text_editor_code_execution_str_replace_result",
    "text_editor_code_execution_tool_result",
    "text_editor_code_execution_tool_result_error",
    "text_editor_code_execution_view_result",
    "tool_addition",
    "tool_reference",
    "tool_removal",
    "tool_search_tool_result",
    "tool_search_tool_result_error",
    "tool_search_tool_search_result",
    "web_fetch_result",
    "web_fetch_tool_result",
    "web_fetch_tool_result_error",
    "web_search_result",
    "web_search_tool_result",
];
/// The same of what stands in `tool` of a change of tools, which is no block.
const REFERENCES: [&str; 4] =
    ["mcp_tool_reference", "mcp_toolset_reference", "tool_definition", "tool_reference"];
/// Types of sources of images and documents; a source that is sent along needs no more.
const SOURCES: [&str; 5] = ["base64", "content", "file", "text", "url"];

/// What the messages of a request hold.
#[derive(Debug, Default)]
pub(super) struct Content<'n, 'b> {
    /// Types of all blocks, in the words of every API.
    pub(super) parts: BTreeSet<String>,
    /// Ids and addresses of what the provider is to read.
    pub(super) files: BTreeSet<String>,
    /// Types that this reader does not know.
    pub(super) unknown: BTreeSet<String>,
    /// True if there is a system prompt.
    pub(super) has_system: bool,
    /// Tools that a message adds.
    pub(super) tools: Vec<&'n Node<'b>>,
}

impl<'n, 'b> Content<'n, 'b> {
    /// Reads system prompt and messages; `None` if one of them is not what the API says.
    pub(super) fn read(body: &'n Node<'b>) -> Option<Self> {
        let mut content = Self::default();
        if let Some(system) = body.set("system") {
            content.add(system)?;
            content.has_system = true;
        }
        for message in body.at("messages")?.items()? {
            let role = message.at("role")?.text()?;
            content.has_system |= role == "system";
            content.add(message.at("content")?)?;
        }
        Some(content)
    }

    /// Adds a content: a text, a list of blocks, or a single block.
    fn add(&mut self, content: &'n Node<'b>) -> Option<()> {
        match content {
            Node::String(_) => {
                self.parts.insert("text".to_owned());
                Some(())
            }
            Node::Array(blocks) => blocks.iter().try_for_each(|block| match block {
                Node::Object(_) => self.add_block(block),
                // Some readers take a list of texts.
                Node::String(_) => self.add(block),
                Node::Null | Node::Bool(_) | Node::Number(_) | Node::Array(_) => None,
            }),
            Node::Object(_) => self.add_block(content),
            Node::Null | Node::Bool(_) | Node::Number(_) => None,
        }
    }

    fn add_block(&mut self, block: &'n Node<'b>) -> Option<()> {
        let kind = name(block.at("type")?)?;
        let word = WORDS.iter().find(|(known, _)| *known == kind).map(|(_, word)| *word);
        if word.is_none() && !KNOWN.contains(&kind.as_str()) {
            self.unknown.insert(kind.clone());
        }
        let source = block.at("source").filter(|source| matches!(source, Node::Object(_)));
        if source.is_some() && !matches!(kind.as_str(), "document" | "image") {
            // What a block holds counts whatever type it says it has.
            self.parts.insert("file".to_owned());
        }
        self.parts.insert(word.map_or(kind, str::to_owned));
        self.add_file(block.set("file_id"))?;
        for member in NESTED {
            match (member, block.set(member)) {
                (_, None) => {}
                ("source", Some(source)) => self.add_source(source)?,
                ("tool", Some(tool)) => self.add_tool(tool)?,
                (_, Some(nested)) => self.add(nested)?,
            }
        }
        (self.parts.len() <= PARTS_MAX).then_some(())
    }

    /// Adds what an image or a document is made of. The source of a search result is a text.
    fn add_source(&mut self, source: &'n Node<'b>) -> Option<()> {
        let Node::Object(_) = source else { return source.text().map(|_text| ()) };
        let kind = name(source.at("type")?)?;
        if !SOURCES.contains(&kind.as_str()) {
            self.unknown.insert(kind);
        }
        self.add_file(source.set("file_id"))?;
        self.add_file(source.set("url"))?;
        source.set("content").map_or(Some(()), |content| self.add(content))
    }

    /// Adds a tool that a message adds or removes.
    fn add_tool(&mut self, tool: &'n Node<'b>) -> Option<()> {
        let kind = name(tool.at("type")?)?;
        if !REFERENCES.contains(&kind.as_str()) {
            self.unknown.insert(kind);
        }
        // A reference is to one that stands in the list of tools, or in another message.
        self.tools.extend(tool.set("definition"));
        Some(())
    }

    fn add_file(&mut self, file: Option<&Node<'_>>) -> Option<()> {
        let Some(file) = file else { return Some(()) };
        let file = file.text()?;
        let end = file.floor_char_boundary(FILE_BYTES_MAX);
        self.files.insert(file.get(..end)?.to_owned());
        (self.files.len() <= FILES_MAX).then_some(())
    }
}
