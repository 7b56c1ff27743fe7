// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tools that a request offers to the model: of the client by their names, of the provider by their kind too.

use std::collections::BTreeSet;

use crate::protocol::json_tree::Node;
use crate::protocol::names::{has_alias, name};

use super::content::Content;

/// Most tools of one request.
const TOOLS_MAX: usize = 4096;
/// Members of a tool that facts are made from.
const FIELDS: [&str; 4] = ["mcp_server_name", "model", "name", "type"];
/// Digits of the date at the end of a type: `web_search_20250305`.
const DATE_DIGITS: usize = 8;
/// The end of the type of a tool that is several.
const SET: &str = "_toolset";
/// Kinds of tools of the provider (anthropic-sdk-python `types/beta/beta_tool_union_param.py`).
const KINDS: [&str; 14] = [
    "advisor",
    "bash",
    "browser",
    "code_execution",
    "computer",
    "custom",
    "mcp",
    "memory",
    "text_editor",
    "tool_search_tool_bm25",
    "tool_search_tool_regex",
    "web_fetch",
    "web_search",
    "",
];

/// Names of all tools, in whichever place they are offered; `None` if a field is not what the API says.
///
/// `mcp` and `mcp:NAME` stand for the servers whose tools the provider calls, `skill` and `skill:ID` for skills.
pub(super) fn names(body: &Node<'_>, content: &mut Content<'_, '_>) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for tool in list(body, "tools")?.iter().chain(content.tools.clone()) {
        if has_alias(tool, &FIELDS) {
            return None;
        }
        let of_type = match tool.set("type") {
            None => String::new(),
            Some(of_type) => name(of_type)?,
        };
        let kind = kind(&of_type);
        if !KINDS.contains(&kind) {
            content.unknown.insert(of_type.clone());
        }
        match kind {
            "" | "custom" => {
                names.insert(name(tool.at("name")?)?);
            }
            "mcp" => add(&mut names, "mcp", tool.at("mcp_server_name")?)?,
            kind => {
                names.insert(kind.to_owned());
                names.extend(tool.set("name").map_or(Some(None), |it| name(it).map(Some))?);
            }
        }
    }
    for server in list(body, "mcp_servers")? {
        if has_alias(server, &["name", "url"]) {
            return None;
        }
        add(&mut names, "mcp", server.at("name")?)?;
    }
    if let Some(container @ Node::Object(_)) = body.set("container") {
        for skill in list(container, "skills")? {
            add(&mut names, "skill", skill.at("skill_id")?)?;
        }
    }
    (names.len() <= TOOLS_MAX).then_some(names)
}

/// The models that tools of the provider ask, whichever one answers: the advisor's.
pub(super) fn models(body: &Node<'_>, content: &Content<'_, '_>) -> Option<BTreeSet<String>> {
    let tools = list(body, "tools")?.iter().chain(content.tools.iter().copied());
    tools.filter_map(|tool| tool.set("model")).map(name).collect()
}

/// Which tool the model should use, in the words of every API: its name, `auto`, `none`, or `required` for any.
pub(super) fn choice(body: &Node<'_>) -> Option<String> {
    let Some(choice) = body.set("tool_choice") else { return Some(String::new()) };
    let kind = name(choice.at("type")?)?;
    match kind.as_str() {
        "any" => Some("required".to_owned()),
        "tool" => name(choice.at("name")?),
        _ => Some(kind),
    }
}

fn add(names: &mut BTreeSet<String>, kind: &str, named: &Node<'_>) -> Option<()> {
    names.insert(kind.to_owned());
    names.insert(format!("{kind}:{}", name(named)?));
    Some(())
}

/// The kind of a type: without its date, and one of a set of tools like one of a single one.
fn kind(of_type: &str) -> &str {
    let is_date =
        |end: &str| end.len() == DATE_DIGITS && end.bytes().all(|byte| byte.is_ascii_digit());
    let kind = match of_type.rsplit_once('_') {
        Some((kind, end)) if is_date(end) => kind,
        _ => of_type,
    };
    kind.strip_suffix(SET).unwrap_or(kind)
}

fn list<'n, 'b>(body: &'n Node<'b>, field: &str) -> Option<&'n [Node<'b>]> {
    match body.set(field) {
        None => Some(&[]),
        Some(node) => node.items().filter(|items| items.len() <= TOOLS_MAX),
    }
}
