// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls of tools: what a model asks for in an answer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Facts of the action `tool_call`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Name of the tool; for a tool of the provider that has none, its kind.
    pub name: String,
    /// What kind of tool it is: one of [`ToolKind::ALL`], as a word.
    pub kind: ToolKind,
    /// Label of the MCP server that has the tool; empty if it belongs to none.
    pub server: String,
    /// The arguments: JSON without blanks and needless escapes, or a free text as the model wrote it.
    pub arguments: String,
    /// Scalar arguments as `path=/etc/passwd`; members of objects are joined by `.`, items of a list have the name of
    /// the list. Means nothing unless [`Self::is_whole`].
    pub scalars: BTreeSet<String>,
    /// True if a model asks for it in an answer; false if it is sent to a tool server.
    pub asked: bool,
    /// True if [`Self::scalars`] holds every scalar argument; false if there are too many, or the arguments should be
    /// JSON and are not. A rule that reads the scalars then errs, which denies.
    pub is_whole: bool,
}

/// What kind of tool is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// Code that the provider runs, or an interpreter.
    Code,
    /// Mouse, keyboard and screen.
    Computer,
    /// A tool of the agent that takes a free text.
    Custom,
    /// A search in files.
    FileSearch,
    /// A tool of the agent with arguments in JSON.
    Function,
    /// A picture that is made or changed.
    Image,
    /// A tool of an MCP server.
    Mcp,
    /// Anything else.
    Other,
    /// Commands, and changes of files by patches or an editor.
    Shell,
    /// A search in the web, or a page of it.
    WebSearch,
}

impl ToolKind {
    /// All of them, in the order of their words.
    pub const ALL: [Self; 10] = [
        Self::Code,
        Self::Computer,
        Self::Custom,
        Self::FileSearch,
        Self::Function,
        Self::Image,
        Self::Mcp,
        Self::Other,
        Self::Shell,
        Self::WebSearch,
    ];

    /// The word in rules.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Computer => "computer",
            Self::Custom => "custom",
            Self::FileSearch => "file_search",
            Self::Function => "function",
            Self::Image => "image",
            Self::Mcp => "mcp",
            Self::Other => "other",
            Self::Shell => "shell",
            Self::WebSearch => "web_search",
        }
    }
}
