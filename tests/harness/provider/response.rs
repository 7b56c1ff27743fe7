// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The wire format of the Responses API, as openai-python 3.54 reads it (`types/responses/`): each event has its
//! name in an `event:` line and in `type`, and a number.
#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value indexed by a name yields null where nothing is, and makes a place to write"
)]

use serde_json::{Value, json};

use super::answer::{CREATED, Turn, call_id, pieces};

/// A word in the instructions that makes the assistant refuse.
const REFUSE: &str = "REFUSE";

/// A whole answer.
pub(super) fn response(request: &Value, turn: &Turn, number: usize) -> Value {
    object(request, number, "completed", &json!([item(request, turn, number)]))
}

/// A chat that was made shorter.
pub(super) fn compacted(number: usize) -> Value {
    json!({"id": format!("resp_stand_in_{number:06}"), "object": "response.compaction", "created_at": CREATED,
           "output": [{"id": format!("cmp_stand_in_{number:06}"), "type": "compaction",
                       "encrypted_content": format!("gAAAAABo{}", "stand-in".repeat(16))}],
           "usage": usage()})
}

/// How many tokens a request has.
pub(super) fn input_tokens() -> Value {
    json!({"object": "response.input_tokens", "input_tokens": 19})
}

/// The events of a streamed answer.
pub(super) fn events(request: &Value, turn: &Turn, number: usize) -> Vec<String> {
    let started = object(request, number, "in_progress", &json!([]));
    let done = item(request, turn, number);
    let id = done["id"].clone();
    let mut events = vec![
        json!({"type": "response.created", "response": started}),
        json!({"type": "response.in_progress", "response": started}),
    ];
    match turn {
        Turn::Say(text) => events.extend(said(request, text, &id)),
        Turn::Call { arguments, .. } => events.extend(called(&done, arguments, &id)),
    }
    events.extend([
        json!({"type": "response.output_item.done", "output_index": 0, "item": done}),
        json!({"type": "response.completed", "response": response(request, turn, number)}),
    ]);
    let numbered = events.into_iter().enumerate().map(|(sequence, mut event)| {
        event["sequence_number"] = Value::from(sequence);
        let kind = event["type"].as_str().unwrap_or_default();
        format!("event: {kind}\ndata: {event}\n\n")
    });
    numbered.collect()
}

fn said(request: &Value, text: &str, id: &Value) -> Vec<Value> {
    let (stem, member) = if is_refused(request) {
        ("response.refusal", "refusal")
    } else {
        ("response.output_text", "text")
    };
    let empty = json!({"id": id, "type": "message", "status": "in_progress", "role": "assistant",
                       "content": []});
    let place = |mut event: Value| {
        event["item_id"] = id.clone();
        event["output_index"] = Value::from(0);
        event["content_index"] = Value::from(0);
        if stem == "response.output_text" && event["part"].is_null() {
            event["logprobs"] = json!([]);
        }
        event
    };
    let mut events = vec![
        json!({"type": "response.output_item.added", "output_index": 0, "item": empty}),
        place(json!({"type": "response.content_part.added", "part": part(request, "")})),
    ];
    events.extend(pieces(text).map(|piece| {
        place(json!({"type": format!("{stem}.delta"), "delta": piece, "obfuscation": "stand-in"}))
    }));
    events.extend([
        place(json!({"type": format!("{stem}.done"), member: text})),
        place(json!({"type": "response.content_part.done", "part": part(request, text)})),
    ]);
    events
}

fn called(done: &Value, arguments: &str, id: &Value) -> Vec<Value> {
    let mut begun = done.clone();
    begun["status"] = json!("in_progress");
    begun["arguments"] = json!("");
    let mut events =
        vec![json!({"type": "response.output_item.added", "output_index": 0, "item": begun})];
    events.extend(pieces(arguments).map(|piece| {
        json!({"type": "response.function_call_arguments.delta", "item_id": id, "output_index": 0, "delta": piece,
               "obfuscation": "stand-in"})
    }));
    events.push(
        json!({"type": "response.function_call_arguments.done", "item_id": id, "output_index": 0,
                       "name": done["name"], "arguments": arguments}),
    );
    events
}

fn is_refused(request: &Value) -> bool {
    request["instructions"].as_str().is_some_and(|text| text.contains(REFUSE))
}

fn part(request: &Value, text: &str) -> Value {
    if is_refused(request) {
        json!({"type": "refusal", "refusal": text})
    } else {
        json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
    }
}

fn item(request: &Value, turn: &Turn, number: usize) -> Value {
    match turn {
        Turn::Say(text) => json!({
            "id": format!("msg_stand_in_{number:06}"), "type": "message", "status": "completed",
            "role": "assistant", "content": [part(request, text)]}),
        Turn::Call { name, arguments } => json!({
            "id": format!("fc_stand_in_{number:06}"), "type": "function_call", "status": "completed",
            "call_id": call_id(number), "name": name, "arguments": arguments}),
    }
}

fn object(request: &Value, number: usize, status: &str, output: &Value) -> Value {
    let tools = if request["tools"].is_array() { request["tools"].clone() } else { json!([]) };
    json!({
        "id": format!("resp_stand_in_{number:06}"),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": false,
        "error": null,
        "incomplete_details": null,
        "instructions": request["instructions"],
        "max_output_tokens": request["max_output_tokens"],
        "model": request["model"],
        "output": output,
        "parallel_tool_calls": true,
        "previous_response_id": request["previous_response_id"],
        "reasoning": {"effort": null, "summary": null},
        "service_tier": "default",
        "store": request["store"] != false,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": tools,
        "top_p": 1.0,
        "truncation": "disabled",
        "metadata": {},
        "usage": if status == "completed" { usage() } else { Value::Null }
    })
}

fn usage() -> Value {
    json!({"input_tokens": 19, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 27,
           "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 46})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::answer::tests::joined;

    #[test]
    fn response_events_are_numbered_and_join_to_the_answer() {
        let events = events(&json!({"model": "m"}), &Turn::Say("hello there".into()), 3);
        assert_eq!(joined(&events, "/delta"), "hello there");
        assert!(events[0].starts_with("event: response.created\ndata: {"));
        assert!(events[events.len() - 1].contains("\"status\":\"completed\""));
    }

    #[test]
    fn a_function_is_called_once_and_then_the_assistant_speaks_or_refuses() {
        let tool = json!({"type": "function", "name": "look_up", "parameters":
            {"type": "object", "properties": {"order": {"type": "string"}}}});
        let first = json!({"input": "where?", "tools": [tool]});
        let call = Turn::of(&first, "hi");
        let streamed = events(&first, &call, 0);
        assert_eq!(joined(&streamed, "/delta"), r#"{"order":"A-1001"}"#);
        let second = json!({"input": [{"role": "user"}, {"type": "function_call_output"}], "tools": [tool],
                            "instructions": "REFUSE"});
        let turn = Turn::of(&second, "no");
        assert_eq!(turn, Turn::Say("no".into()));
        let answer = response(&second, &turn, 0);
        assert_eq!(answer["output"][0]["content"][0], json!({"type": "refusal", "refusal": "no"}));
    }
}
