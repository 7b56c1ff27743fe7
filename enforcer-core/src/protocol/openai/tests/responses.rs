// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Facts of the Responses API, of completions and moderations. Fields and types as in openai-python 3.54,
//! `types/responses/response_create_params.py` and what it refers to.

use serde_json::{Value, json};

use super::{decode, detectors, masker, names, route};
use crate::mask::Masker;
use crate::model::{Chat, OpaqueCause, Operation};
use crate::protocol::body::{MaskedBody, mask_body};
use crate::protocol::openai::tables;

const PATH: &str = "/v1/responses";

fn operation(path: &str, body: &Value) -> Result<Operation, OpaqueCause> {
    decode(path, body.to_string().as_bytes(), &detectors()).map(|it| it.operation)
}

fn facts(body: &Value) -> Result<Chat, OpaqueCause> {
    match operation(PATH, body)? {
        Operation::Chat(chat) => Ok(chat),
        other => panic!("{other:?}"),
    }
}

fn with(member: &str, value: Value) -> Value {
    let mut body = json!({ "model": "m", "input": "hi" });
    body[member] = value;
    body
}

fn texts(set: &std::collections::BTreeSet<String>) -> Vec<&str> {
    set.iter().map(String::as_str).collect()
}

fn mask(body: &Value, masker: &Masker) -> MaskedBody {
    mask_body(&tables::TYPED, body.to_string().as_bytes(), masker).unwrap()
}

#[test]
fn a_response_has_the_facts_of_a_chat() {
    let chat = facts(&json!({
        "model": "gpt-4.1", "instructions": "Be kind.", "stream": true, "max_output_tokens": 400,
        "input": [
            { "role": "user", "content": "Where is order A-1001?" },
            { "type": "message", "role": "user", "content": [
                { "type": "input_text", "text": "This one:" },
                { "type": "input_image", "image_url": "https://x.example/a.png", "detail": "auto" },
                { "type": "input_file", "file_id": "file-1" },
                { "type": "input_file", "file_data": "data:text/plain;base64,aGk=" }] },
            { "type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "call_1", "output": "shipped" },
            { "type": "message", "role": "assistant", "content": [
                { "type": "output_text", "text": "On its way.", "annotations": [] },
                { "type": "refusal", "refusal": "no" }] },
        ],
        "tools": [{ "type": "function", "name": "look_up", "parameters": { "type": "object" } }],
        "tool_choice": "auto",
    }))
    .unwrap();
    assert_eq!((chat.api.as_str(), chat.model.as_str()), ("responses", "gpt-4.1"));
    assert_eq!((chat.stream, chat.message_count, chat.max_tokens), (true, 5, Some(400)));
    assert_eq!((chat.n, chat.store, chat.system, chat.previous), (1, true, true, false));
    assert_eq!(texts(&chat.parts), ["file", "image_url", "refusal", "text"]);
    assert_eq!(texts(&chat.files), ["file-1", "https://x.example/a.png"]);
    assert_eq!((texts(&chat.tools), chat.tool_choice.as_str()), (vec!["look_up"], "auto"));
    assert!(chat.unknown.is_empty(), "{:?}", chat.unknown);
    assert!((60..140).contains(&chat.input_tokens), "{}", chat.input_tokens);
}

#[test]
fn a_response_is_stored_unless_the_request_says_otherwise() {
    assert!(facts(&json!({ "model": "m", "input": "hi" })).unwrap().store);
    assert!(facts(&with("store", Value::Null)).unwrap().store);
    assert!(!facts(&with("store", json!(false))).unwrap().store);
    let compacted = operation("/v1/responses/compact", &json!({ "model": "m", "input": "hi" }));
    let Ok(Operation::Chat(chat)) = compacted else { panic!("{compacted:?}") };
    assert!(!chat.store);
}

#[test]
fn tools_of_all_kinds_are_offered_wherever_they_stand() {
    let function = |name: &str| json!({ "type": "function", "name": name, "parameters": {} });
    let check = |body: Value, expect: &[&str]| {
        assert_eq!(texts(&facts(&body).unwrap().tools), expect, "{body}");
    };
    check(with("tools", json!([{ "type": "web_search" }, function("f")])), &["f", "web_search"]);
    check(with("tools", json!([{ "type": "custom", "name": "grep" }])), &["grep"]);
    let mcp =
        json!({ "type": "mcp", "server_label": "docs", "server_url": "https://d.example/mcp" });
    check(with("tools", json!([mcp])), &["mcp", "mcp:docs", "mcp:https://d.example/mcp"]);
    let space = json!({ "type": "namespace", "name": "crm", "description": "",
                        "tools": [function("shell"), { "type": "custom", "name": "c" }] });
    check(with("tools", json!([space])), &["c", "shell"]);
    for kind in ["additional_tools", "tool_search_output", "of_tomorrow"] {
        let item = json!({ "type": kind, "role": "developer", "tools": [space, function("f")] });
        check(with("input", json!([item])), &["c", "f", "shell"]);
    }
    let listed = json!({ "type": "mcp_list_tools", "id": "l", "server_label": "docs",
                         "tools": [{ "name": "find", "input_schema": {} }] });
    check(with("input", json!([listed])), &["find", "mcp", "mcp:docs"]);
    let choice = json!({ "type": "allowed_tools", "mode": "auto", "tools": [{ "type": "shell" }] });
    check(with("tool_choice", choice), &["shell"]);
    // A name where another API has it counts, too.
    let both = json!({ "type": "function", "name": "f", "function": { "name": "shell" } });
    check(with("tools", json!([both])), &["f", "shell"]);
    check(with("web_search_options", json!({})), &["web_search"]);
}

#[test]
fn which_tool_the_model_should_use_is_a_fact() {
    for (choice, expect) in [
        (json!("required"), "required"),
        (json!({ "type": "function", "name": "look_up" }), "look_up"),
        (json!({ "type": "custom", "name": "grep" }), "grep"),
        (json!({ "type": "mcp", "server_label": "docs" }), "mcp:docs"),
        (json!({ "type": "mcp", "server_label": "docs", "name": "find" }), "find"),
        (json!({ "type": "web_search" }), "web_search"),
        (json!({ "type": "allowed_tools", "mode": "auto", "tools": [] }), "allowed_tools"),
        (Value::Null, ""),
    ] {
        assert_eq!(facts(&with("tool_choice", choice)).unwrap().tool_choice, expect);
    }
}

#[test]
fn what_is_not_in_the_request_is_a_fact() {
    for (member, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!("conv_1")),
        ("conversation", json!({ "id": "conv_1" })),
        ("prompt", json!({ "id": "pmpt_1", "version": "2", "variables": { "a": "b" } })),
        ("input", json!([{ "type": "item_reference", "id": "msg_1" }])),
        ("input", json!([{ "id": "msg_1" }])),
    ] {
        assert!(facts(&with(member, value.clone())).unwrap().previous, "{member} {value}");
    }
    // The model stands in the stored prompt.
    let stored = facts(&json!({ "prompt": { "id": "pmpt_1" } })).unwrap();
    assert_eq!((stored.model.as_str(), stored.message_count, stored.previous), ("", 0, true));
    let files = json!([
        { "type": "computer_call_output", "call_id": "c",
          "output": { "type": "computer_screenshot", "file_id": "file-1" } },
        { "type": "function_call_output", "call_id": "c",
          "output": [{ "type": "input_file", "file_url": "https://x.example/f.pdf" }] },
    ]);
    let chat = facts(&with("input", files)).unwrap();
    assert_eq!(texts(&chat.files), ["file-1", "https://x.example/f.pdf"]);
    assert_eq!(texts(&chat.parts), ["file", "image_url"]);
    let tool = json!([{ "type": "code_interpreter",
                        "container": { "type": "auto", "file_ids": ["file-2"] } }]);
    assert_eq!(texts(&facts(&with("tools", tool)).unwrap().files), ["file-2"]);
    // What an agent calls its own parameters says nothing.
    let own = json!([{ "type": "function", "name": "f",
                       "parameters": { "file_id": "x", "properties": { "file_url": "y" } } }]);
    assert!(facts(&with("tools", own)).unwrap().files.is_empty());
}

#[test]
fn what_this_version_does_not_know_is_a_fact_and_no_reason_to_refuse() {
    let input = json!([
        { "type": "hologram", "content": [{ "type": "beam", "data": "x" }] },
        { "type": "message", "role": "user", "content": [{ "type": "smell" }] },
    ]);
    let mut body = with("input", input);
    body["tools"] = json!([{ "type": "teleport" }]);
    let chat = facts(&body).unwrap();
    assert_eq!(texts(&chat.unknown), ["beam", "hologram", "smell", "teleport"]);
    assert_eq!(texts(&chat.parts), ["beam", "smell"]);
    // What a part says of itself does not hide what it holds.
    let sly = json!([{ "role": "user", "content": [
        { "type": "input_text", "text": "x", "image_url": "https://x.example" }] }]);
    assert_eq!(texts(&facts(&with("input", sly)).unwrap().parts), ["image_url", "text"]);
}

#[test]
fn what_two_readers_may_read_differently_is_opaque() {
    for body in [
        with("stream", json!("true")),
        with("store", json!("no")),
        with("Input", json!("x")),
        with("max_output_tokens", json!("9")),
        with("instructions", json!(["x"])),
        with("input", json!({ "role": "user" })),
        with("input", json!(["x"])),
        with("input", json!([{ "content": "x" }])),
        with("input", json!([{ "type": 1 }])),
        with("input", json!([{ "role": "user", "content": [{ "text": "x" }] }])),
        with("input", json!([{ "role": "user", "content": 5 }])),
        with("tools", json!({ "type": "shell" })),
        with("tools", json!([{ "name": "shell" }])),
        with("tools", json!([{ "type": "function" }])),
        with("tools", json!([{ "type": "mcp" }])),
        with("tool_choice", json!({ "name": 1 })),
        with("models", json!(["o3"])),
        with("provider", json!({})),
    ] {
        assert_eq!(facts(&body), Err(OpaqueCause::Fields), "{body}");
    }
    let twice = br#"{"model":"m","model":"o3","input":"x"}"#;
    assert_eq!(decode(PATH, twice, &detectors()).unwrap_err(), OpaqueCause::Fields);
}

#[test]
fn payloads_are_no_tokens_and_all_else_is() {
    let count = |body: &Value| facts(body).unwrap().input_tokens;
    let plain = count(&json!({ "model": "gpt-4.1", "input": "hello world" }));
    assert!((2..12).contains(&plain), "{plain}");
    let image = |url: String| json!([{ "role": "user", "content": [{ "type": "input_image", "image_url": url }] }]);
    let payload = format!("data:image/png;base64,{}", "QUJD".repeat(10_000));
    assert!(count(&with("input", image(payload))) < 40);
    assert!(count(&with("input", image("word ".repeat(1000)))) > 1000);
    let reasoning = |content: String| json!([{ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": content }]);
    let encrypted = format!("gAAAAABo{}==", "aB-_".repeat(10_000));
    assert!(count(&with("input", reasoning(encrypted))) < 40);
    assert!(count(&with("input", reasoning("word ".repeat(1000)))) > 1000);
    for member in ["instructions", "user", "metadata"] {
        let value = match member {
            "metadata" => json!({ "type": "word ".repeat(1000) }),
            _ => json!("word ".repeat(1000)),
        };
        assert!(count(&with(member, value)) > 1000, "{member}");
    }
}

#[test]
fn tokens_are_counted_without_a_chat() {
    let body = json!({ "model": "gpt-4.1", "input": "hello world" });
    let counted = operation("/v1/responses/input_tokens", &body);
    let Ok(Operation::CountTokens(counted)) = counted else { panic!("{counted:?}") };
    let chat = facts(&body).unwrap();
    assert_eq!((counted.model, counted.input_tokens), (chat.model, chat.input_tokens));
    assert!(operation("/v1/responses/input_tokens", &json!({})).is_ok());
}

#[test]
fn detectors_look_at_every_text_of_an_input() {
    let input = json!([
        { "role": "user", "content": [{ "type": "input_text", "text": "ann@exa" },
                                      { "type": "input_text", "text": "mple.com" }] },
        { "type": "custom_tool_call_output", "call_id": "c", "output": "4111 1111 1111 1111" },
    ]);
    let body = with("input", input).to_string();
    let found = decode(PATH, body.as_bytes(), &detectors()).unwrap().detected;
    assert_eq!(found, names(&["credit-card", "email"]));
}

#[test]
fn every_text_of_an_input_is_masked_and_what_belongs_together_still_does() {
    let input = json!([
        { "type": "message", "role": "user", "content": [
            { "type": "input_text", "text": "I am ann@exa" }, { "type": "input_text", "text": "mple.com." }] },
        { "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "Ask ann@example.com" }],
          "encrypted_content": format!("gAAAAABo{}", "sk-a".repeat(40)) },
        { "type": "function_call", "call_id": "ann@example.com", "name": "mail",
          "arguments": "{\"to\":\"ann@example.com\"}" },
        { "type": "function_call_output", "call_id": "ann@example.com", "output": "sent to ann@example.com" },
        { "type": "shell_call_output", "call_id": "c", "output": [{ "stdout": "ann@example.com", "stderr": "" }] },
        { "type": "mcp_call", "id": "m", "server_label": "s", "name": "n", "arguments": "{}", "output": "ann@example.com" },
    ]);
    let mut body = with("input", input);
    body["instructions"] = json!("Write to ann@example.com.");
    body["metadata"] = json!({ "owner": "ann@example.com" });
    let masked = mask(&body, &masker());
    let text = String::from_utf8(masked.bytes).unwrap();
    assert!(!text.contains("ann@exa") && !text.contains("mple.com"), "{text}");
    let value: Value = serde_json::from_str(&text).unwrap();
    let item = |index: usize| &value["input"][index];
    assert_eq!(item(2)["call_id"], item(3)["call_id"]);
    assert_ne!(item(2)["call_id"], "[email]");
    assert_eq!(item(2)["arguments"], "{\"to\":\"[email]\"}");
    // What only the provider can read, and the words of the API, stay.
    assert_eq!(item(1)["encrypted_content"], body["input"][1]["encrypted_content"]);
    assert_eq!(item(1)["type"], "reasoning");
}

#[test]
fn stored_responses_are_masked_like_new_ones() {
    for path in
        ["/v1/responses/resp_1", "/v1/responses/resp_1/input_items", "/v1/conversations/c/items"]
    {
        let route = route("GET", path).expect("a door");
        assert_eq!(route.action(), "stored_read");
        assert!(
            std::ptr::eq(route.shape().tables, &tables::TYPED) && route.shape().events.is_some()
        );
    }
    let part = json!({ "type": "output_text", "text": "ann@example.com", "annotations": [],
                       "logprobs": [{ "token": "ann@", "bytes": [97] }] });
    let stored = json!({ "id": "resp_1", "object": "response", "created_at": 1_763_800_000,
                         "output": [{ "type": "message", "role": "assistant", "content": [part] },
                                    { "type": "image_generation_call", "result": "QUJD".repeat(40) }] });
    let masked = mask(&stored, &masker());
    let value: Value = serde_json::from_slice(&masked.bytes).unwrap();
    assert_eq!(value["output"][0]["content"][0]["text"], "[email]");
    assert_eq!(value["output"][0]["content"][0]["logprobs"], Value::Null);
    assert_eq!(value["output"][1], stored["output"][1]);
    assert_eq!(masked.count, 1);
}

#[test]
fn completions_are_chats_with_a_prompt() {
    let read = |body: &Value| match operation("/v1/completions", body) {
        Ok(Operation::Chat(chat)) => Ok(chat),
        Ok(other) => panic!("{other:?}"),
        Err(cause) => Err(cause),
    };
    let chat =
        read(&json!({ "model": "m", "prompt": ["a", "b"], "n": 3, "max_tokens": 5 })).unwrap();
    assert_eq!((chat.api.as_str(), chat.message_count, chat.n), ("completions", 2, 6));
    assert_eq!((chat.max_tokens, chat.store, texts(&chat.parts)), (Some(5), false, vec!["text"]));
    assert_eq!(read(&json!({ "model": "m" })).unwrap().message_count, 1);
    for body in [
        json!({ "model": "m", "prompt": [1, 2] }),
        json!({ "model": "m", "prompt": [[1, 2]] }),
        json!({ "model": "m", "prompt": [] }),
        json!({ "prompt": "x" }),
        json!({ "model": "m", "prompt": "x", "best_of": 2 }),
        json!({ "model": "m", "prompt": "x", "Prompt": "y" }),
    ] {
        assert_eq!(read(&body), Err(OpaqueCause::Fields), "{body}");
    }
}

#[test]
fn moderations_count_their_texts_and_pictures() {
    let count = |input: Value| match operation("/v1/moderations", &json!({ "input": input })) {
        Ok(Operation::Moderate(moderate)) => Ok(moderate.input_count),
        Ok(other) => panic!("{other:?}"),
        Err(cause) => Err(cause),
    };
    assert_eq!(count(json!("x")), Ok(1));
    assert_eq!(count(json!(["x", "y"])), Ok(2));
    let image = json!({ "type": "image_url", "image_url": { "url": "https://x.example" } });
    assert_eq!(count(json!([{ "type": "text", "text": "x" }, image])), Ok(2));
    assert_eq!(count(json!([1])), Err(OpaqueCause::Fields));
    assert_eq!(count(json!({ "type": "text" })), Err(OpaqueCause::Fields));
}
