// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Streams of typed events and their plain answers. Forms: openai-python `types/responses/response_stream_event.py`,
//! anthropic-sdk-python `types/raw_message_stream_event.py`.

use serde_json::{Value, json};

use super::*;
use crate::model::ToolKind;

const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";

fn numbered(mut events: Vec<Value>) -> Vec<Value> {
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = number.into();
    }
    events
}

fn function(id: &str, name: &str, arguments: &str) -> Value {
    json!({
        "id": format!("fc_{id}"), "type": "function_call", "status": "completed",
        "call_id": format!("call_{id}"), "name": name, "arguments": arguments,
    })
}

/// The events of a call, with its arguments in two pieces.
fn function_events(output: u64, id: &str, name: &str, arguments: &str) -> Vec<Value> {
    let (first, rest) = arguments.split_at(arguments.len() / 2);
    let item = format!("fc_{id}");
    let mut begun = function(id, name, "");
    begun["status"] = json!("in_progress");
    let delta = |piece: &str| json!({ "type": "response.function_call_arguments.delta", "item_id": item, "output_index": output, "delta": piece });
    vec![
        json!({ "type": "response.output_item.added", "output_index": output, "item": begun }),
        delta(first),
        delta(rest),
        json!({ "type": "response.function_call_arguments.done", "item_id": item, "output_index": output, "name": name, "arguments": arguments }),
        json!({ "type": "response.output_item.done", "output_index": output, "item": function(id, name, arguments) }),
    ]
}

fn response(output: &[Value]) -> Value {
    json!({ "id": "resp_1", "object": "response", "status": "completed", "output": output })
}

pub(super) fn responses_stream(calls: &[(&str, &str, &str)]) -> String {
    let mut events = vec![json!({ "type": "response.created", "response": response(&[]) })];
    let mut output = Vec::new();
    for (index, (id, name, arguments)) in calls.iter().enumerate() {
        events.extend(function_events(index as u64, id, name, arguments));
        output.push(function(id, name, arguments));
    }
    events.push(json!({ "type": "response.completed", "response": response(&output) }));
    sse(&numbered(events))
}

#[test]
fn a_denied_item_becomes_a_message_and_the_stream_stays_in_order() {
    let sent = responses_stream(&[("1", "danger", "{}"), ("2", "look", "{\"a\":1}")]);
    let (deliver, _, calls, fault) = read(RESPONSES, held(), &[sent.as_bytes()]);
    assert_eq!(fault, None);
    let events = datas(&deliver);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds[..8],
        [
            "response.created",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
        ]
    );
    let numbers: Vec<u64> =
        events.iter().map(|it| it["sequence_number"].as_u64().unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..events.len() as u64), "{numbers:?}");
    let message = &events[6]["item"];
    assert_eq!((&message["id"], &message["type"]), (&json!("msg_1"), &json!("message")));
    assert_eq!(message["content"][0]["text"], refusal("danger"));
    assert_eq!(events[3]["delta"], refusal("danger"));
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!((&output[0], &output[1]), (message, &function("2", "look", "{\"a\":1}")));
    assert_eq!(verdicts(&calls), [("danger".to_owned(), true), ("look".to_owned(), false)]);
    assert!(
        !deliver.contains("fc_1")
            && !deliver.contains("function_call_arguments.delta\",\"item_id\":\"fc_1")
    );
}

#[test]
fn a_stream_of_allowed_calls_goes_on_byte_for_byte() {
    let sent = responses_stream(&[("1", "look", "{\"a\":1}"), ("2", "look", "{}")]);
    assert_eq!(read(RESPONSES, held(), &[sent.as_bytes()]).0, sent);
}

#[test]
fn every_reading_of_a_call_is_judged() {
    // The pieces say another thing than the item at the end, which some clients take and others do not.
    let mut events = function_events(0, "1", "look", "{\"path\":\"/etc/passwd\"}");
    events[3]["arguments"] = json!("{}");
    events[4]["item"]["arguments"] = json!("{}");
    let (deliver, _, _, _) = read(RESPONSES, held(), &[sse(&numbered(events)).as_bytes()]);
    assert!(deliver.contains(&refusal("look")) && !deliver.contains("passwd"), "{deliver}");
}

#[test]
fn pieces_of_a_call_that_never_began_end_the_stream() {
    let events = function_events(0, "1", "look", "{}");
    let mut other_item = events.clone();
    other_item[1]["item_id"] = json!("fc_2");
    let twice = vec![events[0].clone(), events[0].clone()];
    for events in [events[1..].to_vec(), other_item, twice] {
        let (_, _, _, fault) = read(RESPONSES, held(), &[sse(&events).as_bytes()]);
        assert_eq!(fault, Some(StreamError::Calls), "{events:?}");
    }
    let named = "event: response.created\ndata: {\"type\":\"response.completed\"}\n\n";
    assert_eq!(read(RESPONSES, held(), &[named.as_bytes()]).3, Some(StreamError::Choices));
}

#[test]
fn every_item_that_is_a_call_is_one() {
    let check = |item: Value, name: &str, kind: ToolKind, scalar: &str| {
        let (_, answer) = plain(RESPONSES, &response(std::slice::from_ref(&item)), &held());
        let call = &answer.calls[0].call;
        assert_eq!((call.name.as_str(), call.kind), (name, kind), "{item}");
        assert!(scalar.is_empty() || call.scalars.contains(scalar), "{call:?}");
    };
    check(function("1", "f", "{\"a\":1}"), "f", ToolKind::Function, "a=1");
    check(
        json!({ "type": "custom_tool_call", "name": "c", "input": "rm" }),
        "c",
        ToolKind::Custom,
        "",
    );
    check(
        json!({ "type": "mcp_call", "server_label": "s", "name": "t", "arguments": "{\"a\":1}", "output": "x" }),
        "t",
        ToolKind::Mcp,
        "a=1",
    );
    check(
        json!({ "type": "mcp_approval_request", "server_label": "s", "name": "t", "arguments": "{}" }),
        "t",
        ToolKind::Mcp,
        "",
    );
    check(
        json!({ "type": "local_shell_call", "action": { "type": "exec", "command": ["rm"] } }),
        "local_shell",
        ToolKind::Shell,
        "action.command=rm",
    );
    check(
        json!({ "type": "shell_call", "action": { "commands": ["ls"] } }),
        "shell",
        ToolKind::Shell,
        "action.commands=ls",
    );
    check(
        json!({ "type": "apply_patch_call", "operation": { "type": "delete_file", "path": "a" } }),
        "apply_patch",
        ToolKind::Shell,
        "operation.path=a",
    );
    check(
        json!({ "type": "computer_call", "action": { "type": "click" } }),
        "computer",
        ToolKind::Computer,
        "action.type=click",
    );
    check(
        json!({ "type": "code_interpreter_call", "code": "1" }),
        "code_interpreter",
        ToolKind::Code,
        "",
    );
    check(
        json!({ "type": "web_search_call", "action": { "type": "search", "query": "q" } }),
        "web_search",
        ToolKind::WebSearch,
        "action.query=q",
    );
    check(
        json!({ "type": "file_search_call", "queries": ["q"] }),
        "file_search",
        ToolKind::FileSearch,
        "queries=q",
    );
    check(
        json!({ "type": "image_generation_call", "result": "x" }),
        "image_generation",
        ToolKind::Image,
        "",
    );
    check(json!({ "type": "new_thing_call", "x": 1 }), "new_thing", ToolKind::Other, "x=1");
}

#[test]
fn a_plain_answer_has_a_message_in_place_of_a_denied_item_and_its_result() {
    let shell = json!({ "type": "shell_call", "id": "sh_1", "call_id": "call_1", "action": { "path": "/etc/passwd" } });
    let mut denied = function("1", "danger", "{}");
    denied["call_id"] = json!("call_9");
    let result = json!({ "type": "shell_call_output", "id": "sho_1", "call_id": "call_9", "output": "root" });
    let (read, answer) = plain(RESPONSES, &response(&[denied, result, shell.clone()]), &held());
    assert_eq!(read["output"][0]["content"][0]["text"], refusal("danger"));
    assert_eq!(
        (&read["output"][0]["type"], &read["output"][0]["status"]),
        (&json!("message"), &json!("completed"))
    );
    assert_eq!((&read["output"][1]["type"], &read["output"][2]), (&json!("message"), &shell));
    assert!(!read.to_string().contains("root"), "{read}");
    assert_eq!(verdicts(&answer.calls), [("danger".to_owned(), true), ("shell".to_owned(), false)]);
}

fn block(index: u64, block: &Value, pieces: &[&str]) -> Vec<Value> {
    let mut events =
        vec![json!({ "type": "content_block_start", "index": index, "content_block": block })];
    events.extend(pieces.iter().map(|piece| {
        let delta = json!({ "type": "input_json_delta", "partial_json": piece });
        json!({ "type": "content_block_delta", "index": index, "delta": delta })
    }));
    events.push(json!({ "type": "content_block_stop", "index": index }));
    events
}

fn tool_use(name: &str, kind: &str) -> Value {
    json!({ "type": kind, "id": format!("toolu_{name}"), "name": name, "input": {} })
}

pub(super) fn messages_stream(calls: &[(&str, &[&str])]) -> String {
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "content": [], "stop_reason": null });
    let mut events =
        vec![json!({ "type": "message_start", "message": message }), json!({ "type": "ping" })];
    events.extend([
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Hm." } }),
        json!({ "type": "content_block_stop", "index": 0 }),
    ]);
    for (index, (name, pieces)) in calls.iter().enumerate() {
        events.extend(block(index as u64 + 1, &tool_use(name, "tool_use"), pieces));
    }
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use", "stop_sequence": null }, "usage": { "output_tokens": 3 } }));
    events.push(json!({ "type": "message_stop" }));
    sse(&events)
}

#[test]
fn a_denied_block_becomes_text_and_the_turn_ends() {
    let sent = messages_stream(&[("look", &["{\"path\":\"/etc", "/passwd\"}"])]);
    let (deliver, _, calls, fault) = read(MESSAGES, held(), &[sent.as_bytes()]);
    assert_eq!(fault, None);
    let events = datas(&deliver);
    let kinds: Vec<&str> = events.iter().skip(5).map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert_eq!(events[5]["content_block"], json!({ "type": "text", "text": "" }));
    assert_eq!(events[6]["delta"]["text"], refusal("look"));
    assert_eq!(events[8]["delta"]["stop_reason"], "end_turn");
    assert_eq!(verdicts(&calls), [("look".to_owned(), true)]);
    assert!(!deliver.contains("tool_use") && !deliver.contains("passwd"), "{deliver}");
}

#[test]
fn a_turn_with_a_call_that_is_left_stops_for_it() {
    let sent = messages_stream(&[("danger", &["{}"]), ("look", &["{\"a\"", ":1}"])]);
    let (deliver, _, _, _) = read(MESSAGES, held(), &[sent.as_bytes()]);
    assert!(
        deliver.contains(&refusal("danger")) && deliver.contains("\"stop_reason\":\"tool_use\"")
    );
    let allowed = messages_stream(&[("look", &["{\"a\"", ":1}"]), ("look", &[])]);
    assert_eq!(read(MESSAGES, held(), &[allowed.as_bytes()]).0, allowed);
}

#[test]
fn the_input_of_one_block_is_masked() {
    let sent = messages_stream(&[("mail", &["{\"to\":\"ann@exa", "mple.com\"}"])]);
    let (deliver, _, _, _) = read(MESSAGES, held(), &[sent.as_bytes()]);
    let pieces = datas(&deliver);
    let pieces = pieces.iter().filter_map(|it| it["delta"]["partial_json"].as_str());
    assert_eq!(pieces.collect::<String>(), "{\"to\":\"[email]\"}");
}

#[test]
fn a_plain_message_has_text_in_place_of_a_denied_block_and_its_result() {
    let mut denied = tool_use("danger", "server_tool_use");
    denied["id"] = json!("srvtoolu_1");
    let result = json!({ "type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{ "type": "x", "title": "secret" }] });
    let body = |blocks: &[Value]| json!({ "type": "message", "role": "assistant", "content": blocks, "stop_reason": "tool_use" });
    let (read, answer) =
        plain(MESSAGES, &body(&[denied, result, tool_use("danger", "tool_use")]), &held());
    assert_eq!(read["content"][0], json!({ "type": "text", "text": refusal("danger") }));
    assert_eq!(
        (&read["content"][1]["type"], &read["stop_reason"]),
        (&json!("text"), &json!("end_turn"))
    );
    assert!(!read.to_string().contains("secret"), "{read}");
    assert_eq!(answer.calls.len(), 2);
    let kept = body(&[tool_use("look", "tool_use"), tool_use("danger", "mcp_tool_use")]);
    let (read, answer) = plain(MESSAGES, &kept, &held());
    assert_eq!(
        (&read["stop_reason"], answer.calls[1].call.kind),
        (&json!("tool_use"), ToolKind::Mcp)
    );
}
