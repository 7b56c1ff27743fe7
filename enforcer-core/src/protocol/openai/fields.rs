// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fields and query names whose meaning is not in one place of the API's reference: gateways of this protocol have
//! more of them than the API.

use std::collections::BTreeSet;

use crate::protocol::elsewhere::plain;
use crate::protocol::json_tree::Node;

pub(super) use crate::protocol::elsewhere::leads_elsewhere;

/// Most answers to one chat (`n`) that the API gives.
const ANSWERS_MAX: u64 = 128;
/// The hosted tool that a search beside the list of tools is taken for.
const WEB_SEARCH: &str = "web_search";
/// Names of a query that the API has for a request with a body; the value is a date and a word (Azure).
const QUERY_NAMES: [&str; 1] = ["api-version"];

/// Whether everything in this query is known, each name once. Others could name a model or a deployment.
pub(super) fn knows_query(query: &str) -> bool {
    if query.is_empty() {
        return true;
    }
    let mut seen = BTreeSet::new();
    query.split('&').all(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Some readers end a pair at `;`, and decode what stands in it.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        QUERY_NAMES.contains(&name) && value.bytes().all(is_plain) && seen.insert(name)
    })
}

/// Fields by which the web is searched without a tool in the list: of the API itself, xAI, Groq, DashScope.
const SEARCHES: [&str; 6] = [
    "enablesearch",
    "enablewebsearch",
    "searchparameters",
    "searchsettings",
    "websearch",
    "websearchoptions",
];

/// The tool by whose name a search is judged, if the body asks for one.
pub(super) fn search_tool(body: &Node<'_>) -> Option<String> {
    let Node::Object(members) = body else { return None };
    let is_asked = members.iter().any(|(name, node)| {
        SEARCHES.contains(&plain(name).as_str()) && !matches!(node, Node::Null | Node::Bool(false))
    });
    is_asked.then(|| WEB_SEARCH.to_owned())
}

/// Whether the provider keeps the chat; it does not unless it is asked to.
pub(super) fn store(body: &Node<'_>) -> Option<bool> {
    match body.set("store") {
        None => Some(false),
        Some(Node::Bool(store)) => Some(*store),
        Some(_) => None,
    }
}

/// How many answers are asked for.
pub(super) fn answer_count(body: &Node<'_>) -> Option<i64> {
    let Some(node) = body.set("n") else { return Some(1) };
    let count = node.number().filter(|count| (1..=ANSWERS_MAX).contains(count))?;
    i64::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(body: &str) -> bool {
        leads_elsewhere(&Node::read(body.as_bytes()).expect("JSON"))
    }

    /// Fields of openai-python `types/chat/completion_create_params.py`, and of the other requests with a body.
    const FIELDS: [&str; 77] = [
        "audio",
        "completion_window",
        "dimensions",
        "encoding_format",
        "endpoint",
        "frequency_penalty",
        "function_call",
        "functions",
        "hyperparameters",
        "input",
        "input_file_id",
        "instructions",
        "integrations",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "method",
        "modalities",
        "model",
        "n",
        "output_expires_after",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "suffix",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "training_file",
        "user",
        "validation_file",
        "verbosity",
        "voice",
        "web_search_options",
        "data",
        "quality",
        "size",
        "style",
        "background",
        "moderation",
        "output_compression",
        "output_format",
        "partial_images",
        "speed",
        "stream_format",
        // `types/responses/response_create_params.py`
        "access_programs",
        "background_options",
        "context_management",
        "conversation",
        "image",
        "include",
        "max_output_tokens",
        "max_tool_calls",
        "personality",
        "previous_response_id",
        "prompt_cache_options",
        "reasoning",
        "text",
        "truncation",
        "echo",
    ];

    #[test]
    fn no_field_of_the_api_leads_elsewhere() {
        for name in FIELDS {
            assert!(!leads(&format!(r#"{{"{name}":1}}"#)), "{name}");
        }
    }

    #[test]
    fn only_a_query_that_the_api_has_is_known() {
        for query in ["", "api-version=2024-10-21", "api-version=2025-04-01-preview"] {
            assert!(knows_query(query), "{query}");
        }
        for query in [
            "model=o3",
            "api-version=1&model=o3",
            "api-version=1;model=o3",
            "api-version=1%26model=o3",
            "api-version=1&api-version=2",
            "API-Version=1",
            "api%2dversion=1",
            "deployment",
            "&",
            "=",
        ] {
            assert!(!knows_query(query), "{query}");
        }
    }
}
