// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The wire format of the Anthropic API, as the public reference shows it ("Messages", "Streaming Messages",
//! "Errors").
#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value indexed by a name yields null where nothing is"
)]

use serde_json::{Value, json};

use super::answer::{Turn, pieces};

/// What comes back.
pub(super) enum Reply {
    /// All at once, with this status.
    Whole(u16, Value),
    /// Event by event.
    Events(Vec<String>),
}

/// The answer to a request.
pub(super) fn reply(
    (method, path): (&str, &str),
    request: &Value,
    text: &str,
    number: usize,
) -> Reply {
    let is_named = request["model"].is_string() && request["messages"].is_array();
    match (method, path) {
        ("GET", "/v1/models") => Reply::Whole(200, models()),
        ("POST", "/v1/messages/count_tokens") if is_named => {
            Reply::Whole(200, json!({"input_tokens": 19}))
        }
        ("POST", "/v1/messages/batches") if request["requests"].is_array() => {
            Reply::Whole(200, batch(request, number))
        }
        ("POST", "/v1/messages") if !is_named || !request["max_tokens"].is_u64() => {
            Reply::Whole(400, error("invalid_request_error", "max_tokens: Field required"))
        }
        ("POST", "/v1/messages") => {
            let turn = turn(request, text);
            if request["stream"] == true {
                Reply::Events(events(request, &turn, number))
            } else {
                Reply::Whole(200, message(request, &blocks(&turn, number), number, Some(&turn)))
            }
        }
        _ => Reply::Whole(404, error("not_found_error", "Not found")),
    }
}

/// An error in the provider's shape.
pub(super) fn error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": null})
}

/// A user who offers tools gets a call first.
fn turn(request: &Value, text: &str) -> Turn {
    let last = request["messages"].as_array().and_then(|messages| messages.last());
    let is_answer = |block: &Value| block["type"] == "tool_result";
    let has_answer = last
        .and_then(|message| message["content"].as_array())
        .is_some_and(|blocks| blocks.iter().any(is_answer));
    let tools = request["tools"].as_array().into_iter().flatten();
    match tools.into_iter().find(|tool| tool["input_schema"].is_object()) {
        Some(tool) if !has_answer => {
            Turn::call(&json!({"name": tool["name"], "parameters": tool["input_schema"]}))
        }
        _ => Turn::Say(text.to_owned()),
    }
}

fn blocks(turn: &Turn, number: usize) -> Value {
    match turn {
        Turn::Say(text) => json!([{"type": "text", "text": text, "citations": null}]),
        Turn::Call { name, arguments } => {
            let input: Value = serde_json::from_str(arguments).unwrap_or_default();
            json!([{"type": "tool_use", "id": call_id(number), "name": name, "input": input}])
        }
    }
}

/// A message; one that goes on has no reason to stop yet.
fn message(request: &Value, content: &Value, number: usize, end: Option<&Turn>) -> Value {
    json!({
        "id": format!("msg_stand_in_{number:06}"),
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": content,
        "stop_reason": end.map(stop_reason),
        "stop_sequence": null,
        "usage": {"input_tokens": 12, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4,
                  "output_tokens": if end.is_some() { 27 } else { 1 }, "service_tier": "standard"}
    })
}

fn events(request: &Value, turn: &Turn, number: usize) -> Vec<String> {
    let (block, deltas): (Value, Vec<Value>) = match turn {
        Turn::Say(text) => (
            json!({"type": "text", "text": "", "citations": null}),
            pieces(text).map(|piece| json!({"type": "text_delta", "text": piece})).collect(),
        ),
        Turn::Call { name, arguments } => (
            json!({"type": "tool_use", "id": call_id(number), "name": name, "input": {}}),
            pieces(arguments)
                .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
                .collect(),
        ),
    };
    let started = message(request, &json!([]), number, None);
    let mut events = vec![
        json!({"type": "message_start", "message": started}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "ping"}),
    ];
    let delta = |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
    events.extend(deltas.into_iter().map(delta));
    events.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta",
               "delta": {"stop_reason": stop_reason(turn), "stop_sequence": null},
               "usage": {"output_tokens": 27}}),
        json!({"type": "message_stop"}),
    ]);
    let line = |event: Value| {
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
    };
    events.into_iter().map(line).collect()
}

fn stop_reason(turn: &Turn) -> &'static str {
    match turn {
        Turn::Say(_) => "end_turn",
        Turn::Call { .. } => "tool_use",
    }
}

fn call_id(number: usize) -> String {
    format!("toolu_stand_in_{number:06}")
}

fn models() -> Value {
    let model = |id: &str| json!({"type": "model", "id": id, "display_name": id, "created_at": "2025-09-29T00:00:00Z"});
    json!({"data": [model("claude-sonnet-4-5"), model("claude-haiku-4-5")], "has_more": false,
           "first_id": "claude-sonnet-4-5", "last_id": "claude-haiku-4-5"})
}

fn batch(request: &Value, number: usize) -> Value {
    let count = request["requests"].as_array().map_or(0, Vec::len);
    json!({
        "id": format!("msgbatch_stand_in_{number:06}"),
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": {"processing": count, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
        "created_at": "2025-11-22T00:00:00Z",
        "expires_at": "2025-11-23T00:00:00Z",
        "ended_at": null,
        "archived_at": null,
        "cancel_initiated_at": null,
        "results_url": null
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_called_once_and_then_the_assistant_speaks() {
        let tools = json!([{"name": "look_up", "input_schema": {"type": "object", "properties": {"order": {}}}}]);
        let ask = |content: Value| {
            let messages = json!([{"role": "user", "content": content}]);
            let request =
                json!({"model": "m", "max_tokens": 9, "messages": messages, "tools": tools});
            let Reply::Whole(200, message) = reply(("POST", "/v1/messages"), &request, "hi", 0)
            else {
                panic!("no message")
            };
            message
        };
        assert_eq!(ask(json!("hello"))["content"][0]["input"], json!({"order": "A-1001"}));
        let answered = ask(json!([{"type": "tool_result", "tool_use_id": "t", "content": "x"}]));
        assert_eq!(
            (&answered["content"][0]["text"], &answered["stop_reason"]),
            (&json!("hi"), &json!("end_turn"))
        );
    }
}
