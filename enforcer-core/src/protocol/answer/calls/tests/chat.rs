// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Chat completions. Forms: openai-python `types/chat/chat_completion_chunk.py`, `chat_completion_message.py`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::model::ToolKind;
use crate::model::limits::{TOOL_CALL_BYTES_MAX, TOOL_CALLS_HELD_BYTES_MAX};

const PATH: &str = "/v1/chat/completions";

fn chunk(index: u64, delta: &Value, finish: Option<&str>) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4.1",
        "choices": [{ "index": index, "delta": delta, "finish_reason": finish }],
    })
}

fn begin(index: u64, id: &str, name: &str) -> Value {
    let function = json!({ "name": name, "arguments": "" });
    json!({ "tool_calls": [{ "index": index, "id": id, "type": "function", "function": function }] })
}

fn piece(index: u64, arguments: &str) -> Value {
    json!({ "tool_calls": [{ "index": index, "function": { "arguments": arguments } }] })
}

fn done(events: &[Value]) -> String {
    sse(events) + "data: [DONE]\n\n"
}

/// What a client of the API puts together: text, calls by index, and the finish of a choice.
fn together(stream: &str, index: u64) -> (String, Vec<(String, String)>, String) {
    let (mut text, mut finish) = (String::new(), String::new());
    let mut calls: BTreeMap<u64, (String, String)> = BTreeMap::new();
    for chunk in datas(stream) {
        for choice in chunk["choices"].as_array().unwrap() {
            if choice["index"] != index {
                continue;
            }
            text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
            finish.push_str(choice["finish_reason"].as_str().unwrap_or_default());
            for piece in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
                let call = calls.entry(piece["index"].as_u64().unwrap()).or_default();
                let inner = if piece["custom"].is_object() { "custom" } else { "function" };
                let argument = if inner == "custom" { "input" } else { "arguments" };
                call.0.push_str(piece[inner]["name"].as_str().unwrap_or_default());
                call.1.push_str(piece[inner][argument].as_str().unwrap_or_default());
            }
        }
    }
    assert!(calls.keys().copied().eq(0..calls.len() as u64), "{stream}");
    (text, calls.into_values().collect(), finish)
}

#[test]
fn a_call_that_is_allowed_goes_on_byte_for_byte() {
    let sent = done(&[
        chunk(0, &json!({ "role": "assistant", "content": null }), None),
        chunk(0, &begin(0, "call_1", "look"), None),
        chunk(0, &piece(0, "{\"path\":"), None),
        chunk(0, &piece(0, "\"/tmp\"}"), None),
        chunk(0, &json!({}), Some("tool_calls")),
    ]);
    let (deliver, _, calls, fault) = read(PATH, held(), &[sent.as_bytes()]);
    assert_eq!((deliver.as_str(), fault), (sent.as_str(), None));
    let call = &calls[0].call;
    assert_eq!((call.name.as_str(), call.kind, call.asked), ("look", ToolKind::Function, true));
    assert_eq!(call.arguments, r#"{"path":"/tmp"}"#);
    assert!(call.scalars.contains("path=/tmp") && call.is_whole);
}

#[test]
fn nothing_of_a_call_goes_on_before_it_is_judged() {
    let mut stream = codec::read_stream(route(PATH), held());
    let mut push =
        |event: &Value| stream.push(sse(std::slice::from_ref(event)).as_bytes()).unwrap().deliver;
    assert!(!push(&chunk(0, &json!({ "content": "hello" }), None)).is_empty());
    assert!(push(&chunk(0, &begin(0, "call_1", "look"), None)).is_empty());
    assert!(push(&chunk(0, &piece(0, "{}"), None)).is_empty());
    let rest = String::from_utf8(push(&chunk(0, &json!({}), Some("tool_calls")))).unwrap();
    assert_eq!(datas(&rest).len(), 3);
    assert_eq!(stream.waiting(), 0);
}

#[test]
fn a_denied_call_becomes_text_and_the_choice_stops() {
    let sent = done(&[
        chunk(0, &begin(0, "call_1", "danger"), None),
        chunk(0, &piece(0, "{}"), None),
        chunk(0, &json!({}), Some("tool_calls")),
        json!({ "id": "chatcmpl-1", "choices": [], "usage": { "prompt_tokens": 1, "completion_tokens": 9 } }),
    ]);
    let (deliver, _, calls, _) = read(PATH, held(), &[sent.as_bytes()]);
    let expect = (refusal("danger"), Vec::new(), "stop".to_owned());
    assert_eq!(together(&deliver, 0), expect, "{deliver}");
    assert_eq!(verdicts(&calls), [("danger".to_owned(), true)]);
    assert!(deliver.ends_with("data: [DONE]\n\n") && deliver.contains("completion_tokens"));
    let first = &datas(&deliver)[0];
    assert_eq!((&first["id"], &first["model"]), (&json!("chatcmpl-1"), &json!("gpt-4.1")));
}

#[test]
fn of_calls_that_come_interleaved_the_allowed_ones_stay_and_count_from_zero() {
    let sent = done(&[
        chunk(0, &json!({ "content": "Let me see." }), None),
        chunk(0, &begin(0, "call_1", "danger"), None),
        chunk(0, &begin(1, "call_2", "look"), None),
        chunk(0, &piece(0, "{\"a\""), None),
        chunk(0, &piece(1, "{\"b\""), None),
        chunk(0, &piece(0, ":1}"), None),
        chunk(0, &piece(1, ":2}"), None),
        chunk(0, &json!({}), Some("tool_calls")),
    ]);
    let (deliver, _, calls, _) = read(PATH, held(), &[sent.as_bytes()]);
    let (text, left, finish) = together(&deliver, 0);
    assert_eq!(text, format!("Let me see.\n\n{}", refusal("danger")));
    assert_eq!(left, [("look".to_owned(), "{\"b\":2}".to_owned())]);
    assert_eq!(finish, "tool_calls");
    assert_eq!(verdicts(&calls), [("danger".to_owned(), true), ("look".to_owned(), false)]);
}

#[test]
fn each_choice_and_each_form_of_a_call_is_judged() {
    let custom = json!({ "tool_calls": [
        { "index": 0, "id": "c", "type": "custom", "custom": { "name": "danger", "input": "x" } }
    ] });
    let older = json!({ "function_call": { "name": "danger", "arguments": "{}" } });
    let sent = done(&[
        chunk(0, &custom, None),
        chunk(1, &older, None),
        chunk(2, &json!({ "content": "hello" }), None),
        chunk(0, &json!({}), Some("tool_calls")),
        chunk(1, &json!({}), Some("function_call")),
        chunk(2, &json!({}), Some("stop")),
    ]);
    let (deliver, _, calls, _) = read(PATH, held(), &[sent.as_bytes()]);
    for index in [0, 1] {
        let expect = (refusal("danger"), Vec::new(), "stop".to_owned());
        assert_eq!(together(&deliver, index), expect, "{deliver}");
    }
    assert_eq!(together(&deliver, 2).0, "hello");
    let kinds: Vec<ToolKind> = calls.iter().map(|call| call.call.kind).collect();
    assert_eq!(kinds, [ToolKind::Custom, ToolKind::Function]);
    assert!(!deliver.contains("function_call"), "{deliver}");
}

#[test]
fn a_call_in_hundreds_of_pieces_is_one() {
    let arguments = json!({ "path": "/etc/passwd" }).to_string();
    let pieces = arguments.chars().map(|letter| chunk(0, &piece(0, &letter.to_string()), None));
    let mut events = vec![chunk(0, &begin(0, "call_1", "look"), None)];
    events.extend(pieces);
    events.extend((0..500).map(|_| chunk(0, &piece(0, " "), None)));
    events.push(chunk(0, &json!({}), Some("tool_calls")));
    let (deliver, _, calls, _) = read(PATH, held(), &[done(&events).as_bytes()]);
    assert_eq!(together(&deliver, 0).0, refusal("look"));
    assert_eq!(datas(&deliver).len(), 2, "{deliver}");
    assert_eq!(calls[0].call.arguments, arguments);
}

#[test]
fn a_call_that_is_larger_than_is_judged_is_denied_and_its_rest_does_not_follow() {
    let large = "x".repeat(TOOL_CALL_BYTES_MAX / 2);
    let mut events = vec![chunk(0, &begin(0, "call_1", "look"), None)];
    events.extend((0..4).map(|_| chunk(0, &piece(0, &large), None)));
    events.push(chunk(0, &json!({}), Some("tool_calls")));
    let (deliver, _, calls, _) = read(PATH, held(), &[done(&events).as_bytes()]);
    let (text, left, finish) = together(&deliver, 0);
    assert!(text.contains("the call of the tool `look`") && text.contains("bytes"), "{text}");
    assert!(left.is_empty() && finish == "stop" && deliver.len() < 4096);
    assert_eq!(calls[0].outcome, Outcome::TooMuch);
}

#[test]
fn what_is_held_has_a_bound() {
    let large = "x".repeat(512 * 1024);
    let count = TOOL_CALLS_HELD_BYTES_MAX / large.len() + 1;
    let mut events = vec![chunk(0, &begin(0, "call_1", "look"), None)];
    events.extend((0..count).map(|_| chunk(1, &json!({ "content": large }), None)));
    let mut stream = codec::read_stream(route(PATH), held());
    for event in &events {
        stream.push(sse(std::slice::from_ref(event)).as_bytes()).unwrap();
        assert!(stream.waiting() <= TOOL_CALLS_HELD_BYTES_MAX);
    }
    assert_eq!(stream.take_judged()[0].outcome, Outcome::TooMuch);
}

#[test]
fn arguments_that_two_readers_read_differently_are_not_whole() {
    for arguments in [r#"{"path":"/tmp","path":"/etc/passwd"}"#, "{path:1}", "{\"a\":1"] {
        let sent = done(&[
            chunk(0, &begin(0, "call_1", "look"), None),
            chunk(0, &piece(0, arguments), None),
            chunk(0, &json!({}), Some("tool_calls")),
        ]);
        let (_, _, calls, _) = read(PATH, held(), &[sent.as_bytes()]);
        assert_eq!(verdicts(&calls), [("look".to_owned(), true)], "{arguments}");
    }
}

#[test]
fn calls_that_cannot_be_followed_end_the_stream() {
    let after = [chunk(0, &json!({}), Some("stop")), chunk(0, &begin(0, "call_1", "look"), None)];
    let two_names =
        [chunk(0, &begin(0, "c", "look"), None), chunk(0, &begin(0, "c", "danger"), None)];
    let two_ids = [chunk(0, &begin(0, "c", "look"), None), chunk(0, &begin(0, "d", "look"), None)];
    let odd = [chunk(0, &json!({ "tool_calls": "x" }), None), chunk(0, &json!({}), None)];
    let twice = [
        chunk(0, &json!({ "tool_calls": [{ "index": 0 }, { "index": 0 }] }), None),
        chunk(0, &json!({}), None),
    ];
    for events in [after, two_names, two_ids, odd, twice] {
        let (_, _, _, fault) = read(PATH, held(), &[sse(&events).as_bytes()]);
        let (_, _, _, none) = read(PATH, Wants::default(), &[sse(&events).as_bytes()]);
        assert_eq!((fault, none), (Some(StreamError::Calls), None), "{events:?}");
    }
    let (_, _, _, fault) = read(PATH, held(), &[b"data: hello\n\n"]);
    assert_eq!(fault, Some(StreamError::NotJson));
}

#[test]
fn a_stream_that_breaks_off_within_a_call_gives_out_only_what_was_judged() {
    let sent =
        sse(&[chunk(0, &begin(0, "call_1", "danger"), None), chunk(0, &piece(0, "{\"a\""), None)]);
    let (deliver, _, calls, _) = read(PATH, held(), &[sent.as_bytes()]);
    assert_eq!(together(&deliver, 0), (refusal("danger"), Vec::new(), String::new()));
    assert_eq!(verdicts(&calls), [("danger".to_owned(), true)]);
}

#[test]
fn the_arguments_of_one_call_are_masked() {
    let sent = done(&[
        chunk(0, &json!({ "content": "ann@example.com" }), None),
        chunk(0, &begin(0, "call_1", "mail"), None),
        chunk(0, &begin(1, "call_2", "look"), None),
        chunk(0, &piece(0, "{\"to\":\"ann@exam"), None),
        chunk(0, &piece(1, "{\"to\":\"bob@example.com\"}"), None),
        chunk(0, &piece(0, "ple.com\"}"), None),
        chunk(0, &json!({}), Some("tool_calls")),
    ]);
    let (deliver, _, _, _) = read(PATH, held(), &[sent.as_bytes()]);
    let (text, calls, _) = together(&deliver, 0);
    assert_eq!(text, "ann@example.com");
    assert_eq!(calls[0], ("mail".to_owned(), "{\"to\":\"[email]\"}".to_owned()));
    assert_eq!(calls[1].1, "{\"to\":\"bob@example.com\"}");
}

#[test]
fn masks_read_what_stands_in_place_of_a_call_and_the_record_is_what_the_agent_gets() {
    let sent = done(&[
        chunk(0, &begin(0, "call_1", "danger"), None),
        chunk(0, &begin(1, "call_2", "look"), None),
        chunk(0, &piece(1, "{\"to\":\"bob@example.com\"}"), None),
        chunk(0, &json!({}), Some("tool_calls")),
    ]);
    let wants = Wants { deliver: Some(masker()), keep: codec::Keep::Masked(masker()), ..held() };
    let (deliver, keep, _, fault) = read(PATH, wants, &[sent.as_bytes()]);
    let (text, calls, _) = together(&deliver, 0);
    assert_eq!((text, fault), (refusal("danger"), None));
    assert_eq!(calls[0].1, "{\"to\":\"[email]\"}");
    assert_eq!(keep, deliver);
}

#[test]
fn what_is_only_watched_does_not_change() {
    let sent = done(&[
        chunk(0, &begin(0, "call_1", "danger"), None),
        chunk(0, &json!({}), Some("tool_calls")),
    ]);
    let (deliver, _, calls, _) = read(PATH, watched(), &[sent.as_bytes()]);
    assert_eq!(deliver, sent);
    let Outcome::Decided(decision) = &calls[0].outcome else { panic!("{calls:?}") };
    assert!(decision.would_deny() && calls[0].denied().is_none());
}

#[test]
fn a_plain_answer_loses_the_denied_calls_only() {
    let call = |id: &str, name: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": "{}" } });
    let message =
        |calls: &[Value]| json!({ "role": "assistant", "content": null, "tool_calls": calls });
    let body = json!({ "id": "chatcmpl-1", "choices": [
        { "index": 0, "message": message(&[call("a", "danger"), call("b", "look")]), "finish_reason": "tool_calls" },
        { "index": 1, "message": message(&[call("c", "danger")]), "finish_reason": "tool_calls" },
        { "index": 2, "message": { "role": "assistant", "content": "Hm.", "function_call": { "name": "danger", "arguments": "{}" } },
          "finish_reason": "function_call" },
    ] });
    let (read, answer) = plain(PATH, &body, &held());
    let choice = |index: usize| &read["choices"][index];
    assert_eq!(choice(0)["message"]["tool_calls"], json!([call("b", "look")]));
    assert_eq!(choice(0)["message"]["content"], refusal("danger"));
    assert_eq!(choice(0)["finish_reason"], "tool_calls");
    assert_eq!(choice(1)["message"], json!({ "role": "assistant", "content": refusal("danger") }));
    assert_eq!(choice(1)["finish_reason"], "stop");
    assert_eq!(choice(2)["message"]["content"], format!("Hm.\n\n{}", refusal("danger")));
    assert_eq!(
        (&choice(2)["message"]["function_call"], &choice(2)["finish_reason"]),
        (&Value::Null, &json!("stop"))
    );
    assert_eq!(answer.calls.len(), 4);
    let (same, watched) = plain(PATH, &body, &watched());
    assert_eq!((same, watched.calls.len()), (body, 4));
}

#[test]
fn a_plain_answer_that_cannot_be_read_is_no_answer_where_calls_are_judged() {
    for body in
        ["{", r#"{"choices":[],"choices":[]}"#, r#"{"choices":[{"message":{"tool_calls":{}}}]}"#]
    {
        assert!(codec::read_answer(route(PATH), body.as_bytes(), &held()).is_err(), "{body}");
        assert!(codec::read_answer(route(PATH), body.as_bytes(), &Wants::default()).is_ok());
    }
}
