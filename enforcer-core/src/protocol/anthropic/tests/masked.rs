// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plain bodies, masked.

use serde_json::{Value, json};

use super::{MESSAGES, fixture, masker};
use crate::model::Usage;
use crate::protocol::answer::{Keep, Wants, read_answer};
use crate::protocol::anthropic::{FAMILY, shapes};
use crate::protocol::body::mask_body;

fn masked(body: &str) -> Value {
    let masked = mask_body(shapes::MESSAGES.tables, body.as_bytes(), &masker()).unwrap();
    serde_json::from_slice(&masked.bytes).unwrap()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_request_is_masked_except_words_ids_and_payloads() {
    let found = masked(fixture!("message_request/request.json"));
    assert_eq!(found, parsed(fixture!("message_request/masked.json")));
    assert!(FAMILY.route("POST", MESSAGES).is_some_and(|route| route.is_generated()));
}

#[test]
fn the_requests_of_a_batch_are_masked_like_requests() {
    let each = |text: &str| json!({ "requests": [{ "custom_id": "a", "params": parsed(text) }] });
    let found = masked(&each(fixture!("message_request/request.json")).to_string());
    assert_eq!(found, each(fixture!("message_request/masked.json")));
}

#[test]
fn an_answer_is_masked_and_its_tokens_are_read_with_those_of_the_cache() {
    let body = fixture!("message_answer/answer.json");
    let wants = Wants { deliver: Some(masker()), keep: Keep::Masked(masker()), ..Wants::default() };
    let answer = read_answer(&shapes::MESSAGES, body.as_bytes(), &wants).unwrap();
    let deliver = answer.deliver.unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&deliver).unwrap(),
        parsed(fixture!("message_answer/masked.json"))
    );
    assert_eq!(answer.keep, Some(deliver));
    assert_eq!(answer.usage, Some(Usage { input_tokens: 2246, output_tokens: 503 }));
    assert!(answer.passed.text_bytes > 100, "{:?}", answer.passed);
}

#[test]
fn an_id_that_has_to_be_masked_still_fits_its_answer() {
    let block = json!([
        { "type": "tool_use", "id": "toolu_4111111111111111", "name": "ann@example.com", "input": {} },
        { "type": "tool_result", "tool_use_id": "toolu_4111111111111111", "content": "ok" },
    ]);
    let body = json!({ "tools": [{ "name": "ann@example.com" }], "messages": [{ "role": "user", "content": block }] });
    let found = masked(&body.to_string());
    let text = found.to_string();
    assert!(!text.contains("4111111111111111") && !text.contains("ann@example.com"), "{text}");
    let blocks = &found["messages"][0]["content"];
    assert_eq!(blocks[0]["id"], blocks[1]["tool_use_id"]);
    assert_eq!(blocks[0]["name"], found["tools"][0]["name"]);
}

#[test]
fn what_only_stands_where_a_payload_should_is_masked() {
    for data in
        ["ann@example.com", "4111 1111 1111 1111 and more words to be longer than sixty-four bytes"]
    {
        let source = json!({ "type": "base64", "media_type": "image/png", "data": data });
        let body = json!({ "messages": [{ "role": "user", "content": [{ "type": "image", "source": source }] }] });
        assert!(!masked(&body.to_string()).to_string().contains(data), "{data}");
    }
}
