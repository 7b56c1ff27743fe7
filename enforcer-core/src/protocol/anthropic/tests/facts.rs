// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The facts of a message.

use serde_json::{Value, json};

use super::{MESSAGES, chat, decode, fixture, said, set, with};
use crate::model::{OpaqueCause, Operation};

#[test]
fn a_message_has_the_facts_of_a_chat() {
    let understood = decode(MESSAGES, fixture!("message_request/request.json")).unwrap();
    let Operation::Chat(chat) = understood.operation else { panic!("no chat") };
    assert_eq!(
        (chat.api.as_str(), chat.model.as_str()),
        ("messages", "claude-sonnet-4-5-20250929")
    );
    assert!(chat.stream && chat.system && !chat.previous && !chat.store);
    assert_eq!((chat.message_count, chat.max_tokens, chat.n), (3, Some(1024), 1));
    assert_eq!(chat.tools, set(&["find_order", "web_search"]));
    assert_eq!(chat.tool_choice, "auto");
    assert_eq!(chat.parts, set(&["file", "image_url", "text"]));
    assert_eq!(chat.files, set(&["file_011CNha8iCJcU1wXNR6q4V8w", "https://example.com/a.pdf"]));
    assert!(chat.unknown.is_empty(), "{:?}", chat.unknown);
    assert!((100..400).contains(&chat.input_tokens), "{}", chat.input_tokens);
    assert_eq!(understood.detected.len(), 2, "{:?}", understood.detected);
    assert!(understood.calls.is_empty());
}

#[test]
fn every_kind_of_tool_is_offered_by_its_name_and_its_kind() {
    let tools = |tools: Value| {
        let facts = chat(&with(json!({ "tools": tools }))).unwrap();
        (facts.tools, facts.unknown)
    };
    let check = |tool: Value, expect: &[&str]| {
        assert_eq!(tools(json!([tool])), (set(expect), set(&[])), "{tool}");
    };
    check(json!({ "name": "a", "input_schema": {} }), &["a"]);
    check(json!({ "type": null, "name": "a", "input_schema": {} }), &["a"]);
    check(json!({ "type": "custom", "name": "a" }), &["a"]);
    check(json!({ "type": "bash_20250124", "name": "bash" }), &["bash"]);
    check(
        json!({ "type": "text_editor_20250728", "name": "str_replace_based_edit_tool" }),
        &["str_replace_based_edit_tool", "text_editor"],
    );
    check(json!({ "type": "computer_20251124", "name": "computer" }), &["computer"]);
    check(json!({ "type": "computer_toolset_20260801" }), &["computer"]);
    check(json!({ "type": "web_fetch_20260318", "name": "web_fetch" }), &["web_fetch"]);
    check(
        json!({ "type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25" }),
        &["tool_search_tool_bm25"],
    );
    check(json!({ "type": "mcp_toolset", "mcp_server_name": "db" }), &["mcp", "mcp:db"]);
    let (names, unknown) = tools(json!([{ "type": "rocket_20990101", "name": "launch" }]));
    assert_eq!((names, unknown), (set(&["launch", "rocket"]), set(&["rocket_20990101"])));
}

#[test]
fn tools_are_found_wherever_they_are_offered() {
    let servers = json!([{ "type": "url", "url": "https://mcp.example.com", "name": "db" }]);
    let container = json!({ "skills": [{ "type": "anthropic", "skill_id": "pptx" }] });
    let facts = chat(&with(json!({ "mcp_servers": servers, "container": container }))).unwrap();
    assert_eq!(facts.tools, set(&["mcp", "mcp:db", "skill", "skill:pptx"]));
    assert!(!facts.previous);
    let added = |tool: Value| json!({ "type": "tool_addition", "tool": tool });
    let definition = json!({ "type": "tool_definition", "definition": { "type": "bash_20250124", "name": "bash" } });
    let facts = chat(&said(json!([added(definition.clone())]))).unwrap();
    assert_eq!(facts.tools, set(&["bash"]));
    let changed =
        json!([{ "type": "compaction", "content": "c", "tool_changes": [added(definition)] }]);
    assert_eq!(chat(&said(changed)).unwrap().tools, set(&["bash"]));
    let reference = added(json!({ "type": "tool_reference", "tool_name": "a" }));
    assert!(chat(&said(json!([reference]))).unwrap().tools.is_empty());
}

#[test]
fn which_tool_has_to_be_used_is_said_in_the_words_of_every_api() {
    let choice = |choice: Value| chat(&with(json!({ "tool_choice": choice }))).unwrap().tool_choice;
    assert_eq!(choice(Value::Null), "");
    assert_eq!(choice(json!({ "type": "auto" })), "auto");
    assert_eq!(choice(json!({ "type": "none" })), "none");
    assert_eq!(choice(json!({ "type": "any" })), "required");
    assert_eq!(choice(json!({ "type": "tool", "name": "find_order" })), "find_order");
}

#[test]
fn what_a_block_holds_counts_whatever_it_says_it_is() {
    let image =
        json!({ "type": "image", "source": { "type": "url", "url": "https://e.example/a" } });
    let check = |block: Value, parts: &[&str], files: &[&str], unknown: &[&str]| {
        let facts = chat(&said(json!([block]))).unwrap();
        let found = (facts.parts, facts.files, facts.unknown);
        assert_eq!(found, (set(parts), set(files), set(unknown)), "{block}");
    };
    check(image.clone(), &["image_url"], &["https://e.example/a"], &[]);
    // Within the answer of a tool, in a document, in what the provider fetched.
    let result = json!({ "type": "tool_result", "tool_use_id": "t", "content": [image] });
    check(result, &["image_url", "text"], &["https://e.example/a"], &[]);
    let document =
        json!({ "type": "document", "source": { "type": "content", "content": [image] } });
    check(document.clone(), &["file", "image_url"], &["https://e.example/a"], &[]);
    let fetched = json!({ "type": "web_fetch_tool_result", "tool_use_id": "t",
        "content": { "type": "web_fetch_result", "url": "https://f.example", "content": document } });
    check(
        fetched,
        &["file", "image_url", "web_fetch_result", "web_fetch_tool_result"],
        &["https://e.example/a"],
        &[],
    );
    let odd = json!({ "type": "text", "text": "t", "source": { "type": "file", "file_id": "f" } });
    check(odd, &["file", "text"], &["f"], &[]);
    check(
        json!({ "type": "container_upload", "file_id": "f" }),
        &["container_upload"],
        &["f"],
        &[],
    );
    check(json!({ "type": "hologram", "content": "h" }), &["hologram", "text"], &[], &["hologram"]);
    let remote = json!({ "type": "image", "source": { "type": "s3", "url": "s3://b/k" } });
    check(remote, &["image_url"], &["s3://b/k"], &["s3"]);
}

#[test]
fn what_the_provider_goes_on_with_is_a_fact() {
    let facts = |members: Value| {
        let facts = chat(&with(members)).unwrap();
        (facts.previous, facts.store, facts.system)
    };
    assert_eq!(facts(json!({})), (false, false, false));
    assert_eq!(facts(json!({ "system": "s" })), (false, false, true));
    assert_eq!(facts(json!({ "container": "container_1" })), (true, false, false));
    assert_eq!(facts(json!({ "container": { "id": "container_1" } })), (true, false, false));
    assert_eq!(facts(json!({ "thread": { "type": "create" } })), (false, true, false));
    let go_on = json!({ "thread": { "type": "continue", "message_id": "msg_1" } });
    assert_eq!(facts(go_on), (true, true, false));
    let late = json!({ "messages": [{ "role": "system", "content": "s" }] });
    assert_eq!(facts(late), (false, false, true));
}

#[test]
fn another_model_that_may_answer_is_judged_as_well() {
    let models = |members: Value| {
        let understood = decode(MESSAGES, &with(members).to_string())?;
        let each = understood.calls.into_iter().map(|call| {
            let Operation::Chat(chat) = call.operation else { panic!("no chat") };
            (call.name, chat.model)
        });
        Ok(each.collect::<Vec<_>>())
    };
    let one = |name: &str, model: &str| Ok(vec![(name.to_owned(), model.to_owned())]);
    assert_eq!(models(json!({ "fallbacks": null, "fallback_credit_token": "t" })), Ok(Vec::new()));
    let fallbacks = json!({ "fallbacks": [{ "model": "claude-opus-4-1", "max_tokens": 5 }] });
    assert_eq!(models(fallbacks), one("fallbacks[0]", "claude-opus-4-1"));
    let advisor =
        json!({ "type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-6" });
    assert_eq!(
        models(json!({ "tools": [advisor] })),
        one("tools: claude-opus-4-6", "claude-opus-4-6")
    );
    // Which models these are, only the provider knows.
    assert_eq!(models(json!({ "fallbacks": "default" })), Err(OpaqueCause::Fields));
}

#[test]
fn what_two_readers_may_read_differently_is_opaque() {
    let opaque = |body: Value| {
        assert_eq!(chat(&body), Err(OpaqueCause::Fields), "{body}");
    };
    for members in [
        json!({ "Model": "claude-opus-4-1" }),
        json!({ "models": ["claude-opus-4-1"] }),
        json!({ "fallback_model": "claude-opus-4-1" }),
        json!({ "model": null }),
        json!({ "model": ["claude-opus-4-1"] }),
        json!({ "stream": "true" }),
        json!({ "max_tokens": null }),
        json!({ "max_tokens": -1 }),
        json!({ "max_tokens": "64" }),
        json!({ "messages": "hi" }),
        json!({ "messages": [{ "role": "user" }] }),
        json!({ "messages": [{ "content": "hi" }] }),
        json!({ "messages": [{ "role": "user", "content": 1 }] }),
        json!({ "messages": [{ "role": "user", "content": [{ "text": "no type" }] }] }),
        json!({ "messages": [{ "role": "user", "content": [["nested"]] }] }),
        json!({ "system": 1 }),
        json!({ "tools": {} }),
        json!({ "tools": [{ "input_schema": {} }] }),
        json!({ "tools": [{ "name": "a", "Name": "b" }] }),
        json!({ "tools": [{ "type": "mcp_toolset" }] }),
        json!({ "tool_choice": "auto" }),
        json!({ "tool_choice": { "type": "tool" } }),
        json!({ "mcp_servers": [{ "url": "https://mcp.example.com" }] }),
        json!({ "container": 1 }),
        json!({ "fallbacks": [{ "Model": "m" }] }),
    ] {
        opaque(with(members));
    }
    let twice = r#"{"model":"a","max_tokens":1,"messages":[],"model":"b"}"#;
    assert_eq!(decode(MESSAGES, twice).unwrap_err(), OpaqueCause::Fields);
}

#[test]
fn no_field_of_the_api_is_taken_for_one_that_leads_elsewhere() {
    // anthropic-sdk-python 2.14 `types/beta/message_create_params.py`.
    for field in [
        "billing_policy",
        "cache_control",
        "compaction",
        "context_management",
        "diagnostics",
        "fallback_credit_token",
        "inference_geo",
        "metadata",
        "output_config",
        "output_format",
        "service_tier",
        "speed",
        "stop_sequences",
        "temperature",
        "thinking",
        "top_k",
        "top_p",
    ] {
        assert!(chat(&with(json!({ field: "x" }))).is_ok(), "{field}");
    }
}

#[test]
fn counting_tokens_needs_no_bound_and_knows_the_model() {
    let path = "/v1/messages/count_tokens";
    let body = json!({ "model": "claude-sonnet-4-5", "messages": [{ "role": "user", "content": "hello there" }] });
    let Operation::CountTokens(count) = decode(path, &body.to_string()).unwrap().operation else {
        panic!("no count")
    };
    assert_eq!(count.model, "claude-sonnet-4-5");
    assert!((4..20).contains(&count.input_tokens), "{}", count.input_tokens);
    let odd = json!({ "model": "m", "messages": [{ "role": "user", "content": 1 }] });
    assert_eq!(decode(path, &odd.to_string()).unwrap_err(), OpaqueCause::Fields);
}

#[test]
fn a_payload_costs_no_tokens_and_a_text_in_its_place_does() {
    let tokens = |data: &str| {
        let source = json!({ "type": "base64", "media_type": "image/png", "data": data });
        chat(&said(json!([{ "type": "image", "source": source }]))).unwrap().input_tokens
    };
    let payload = "QUJD".repeat(4000);
    assert_eq!(tokens(&payload), tokens(&"QUJD".repeat(40)));
    assert!(tokens(&"word ".repeat(4000)) > 3000);
}
