// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tools that a request of the Responses API offers to the model, nested ones too.
//!
//! Functions and custom tools count by their names, what the provider runs by its type. A server of tools counts as
//! `mcp`, by its label (`mcp:LABEL`), and by where it is (`mcp:ADDRESS`): the agent chooses the label.

use std::collections::BTreeSet;

use crate::protocol::json_tree::Node;

use super::names::name;

/// Most tools of one request; the API allows fewer.
pub(super) const TOOLS_MAX: usize = 1024;

/// The types of tools (openai-python 3.54, `types/responses/tool_param.py`).
const TOOLS: [&str; 18] = [
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use_preview",
    "custom",
    "file_search",
    "function",
    "image_generation",
    "local_shell",
    "mcp",
    "namespace",
    "programmatic_tool_calling",
    "shell",
    "tool_search",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
];
/// Members of a server of tools that say where it is.
const ADDRESSES: [&str; 3] = ["server_url", "connector_id", "tunnel_id"];

/// Tools that are offered.
#[derive(Debug, Default)]
pub(super) struct Offered {
    pub(super) names: BTreeSet<String>,
    /// Types that are none of this API.
    pub(super) unknown: BTreeSet<String>,
}

impl Offered {
    /// Adds a list of tools; `None` if it is not what the API says.
    pub(super) fn tools(&mut self, tools: &Node<'_>) -> Option<()> {
        let tools = tools.items().filter(|tools| tools.len() <= TOOLS_MAX)?;
        tools.iter().try_for_each(|tool| self.tool(tool))
    }

    /// Adds what a server of tools says that it has; these entries have no type.
    pub(super) fn listed(&mut self, label: &Node<'_>, tools: &Node<'_>) -> Option<()> {
        self.server(label)?;
        let tools = tools.items().filter(|tools| tools.len() <= TOOLS_MAX)?;
        for tool in tools {
            self.names.insert(name(tool.at("name")?)?);
        }
        Some(())
    }

    fn tool(&mut self, tool: &Node<'_>) -> Option<()> {
        let kind = name(tool.at("type")?)?;
        match kind.as_str() {
            "function" | "custom" => {
                // Some readers take a name from where chat completions have it.
                let nested = tool.set(&kind).and_then(|inner| inner.set("name"));
                let named = tool.set("name");
                named.or(nested)?;
                for node in named.into_iter().chain(nested) {
                    self.names.insert(name(node)?);
                }
            }
            "mcp" => {
                self.server(tool.at("server_label")?)?;
                for node in ADDRESSES.iter().filter_map(|member| tool.set(member)) {
                    self.names.insert(format!("mcp:{}", name(node)?));
                }
            }
            // Its tools count.
            "namespace" => {}
            _ => {
                if !TOOLS.contains(&kind.as_str()) {
                    self.unknown.insert(kind.clone());
                }
                self.names.insert(undated(&kind).to_owned());
                self.names.insert(kind);
            }
        }
        match tool.set("tools") {
            Some(tools) => self.tools(tools),
            None => Some(()),
        }
    }

    fn server(&mut self, label: &Node<'_>) -> Option<()> {
        self.names.insert(format!("mcp:{}", name(label)?));
        self.names.insert("mcp".to_owned());
        Some(())
    }
}

/// The type of a tool without the date of its version, and without `preview`: a rule on `web_search` is meant for
/// `web_search_preview_2025_03_11`, too.
fn undated(kind: &str) -> &str {
    let is_date = |end: &str| end.chars().all(|it| it.is_ascii_digit() || it == '_');
    let mut kind = kind;
    while let Some((rest, end)) = kind.rsplit_once('_') {
        if rest.is_empty() || !(is_date(end) || end == "preview") {
            break;
        }
        kind = rest;
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosted_tool_counts_by_its_type_with_and_without_its_version() {
        let check = |kind: &str, expect: &[&str]| {
            let tools = format!(r#"[{{"type":"{kind}"}}]"#);
            let mut offered = Offered::default();
            offered.tools(&Node::read(tools.as_bytes()).expect("JSON")).expect("tools");
            assert_eq!(offered.names.iter().map(String::as_str).collect::<Vec<_>>(), expect);
        };
        check("web_search", &["web_search"]);
        check("web_search_2025_08_26", &["web_search", "web_search_2025_08_26"]);
        check("web_search_preview_2025_03_11", &["web_search", "web_search_preview_2025_03_11"]);
        check("computer_use_preview", &["computer_use", "computer_use_preview"]);
        check("_1", &["_1"]);
    }
}
