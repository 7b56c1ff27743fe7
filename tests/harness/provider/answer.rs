// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The wire format of the OpenAI API, as the public reference and recorded answers show it; the Responses API is in
//! a file of its own.
//!
//! The assistant first calls the first tool it is offered, once, and then says the configured text.
#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value indexed by a name yields null where nothing is, and makes a place to write"
)]

use serde_json::{Map, Value, json};

/// Characters of one delta: short enough that an address or a number spans several.
const DELTA_CHARS: usize = 5;
/// What a tool is called with.
const TOOL_ARGUMENT: &str = "A-1001";
pub(super) const CREATED: u64 = 1_763_800_000;

/// What the assistant does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It says something.
    Say(String),
    /// It calls a tool.
    Call {
        /// Name of the tool.
        name: String,
        /// JSON text of the arguments.
        arguments: String,
    },
}

impl Turn {
    /// Decides from the messages: a user who offers tools gets a call first.
    pub(super) fn of(request: &Value, text: &str) -> Self {
        let last = |list: &str| request[list].as_array().and_then(|items| items.last());
        // In the Responses API the input may be a text, and a function stands in its tool itself.
        let is_user = request["input"].is_string()
            || last("messages").or_else(|| last("input")).is_some_and(|it| it["role"] == "user");
        let tools = request["tools"].as_array();
        match tools.and_then(|tools| tools.iter().find(|tool| tool["type"] == "function")) {
            Some(tool) if is_user && tool["function"].is_object() => Self::call(&tool["function"]),
            Some(tool) if is_user => Self::call(tool),
            _ => Self::Say(text.to_owned()),
        }
    }

    /// A call of this function.
    pub(super) fn call(function: &Value) -> Self {
        let mut arguments = Map::new();
        for name in function["parameters"]["properties"].as_object().into_iter().flat_map(Map::keys)
        {
            arguments.insert(name.clone(), Value::from(TOOL_ARGUMENT));
        }
        Self::Call {
            name: function["name"].as_str().unwrap_or_default().to_owned(),
            arguments: Value::Object(arguments).to_string(),
        }
    }
}

/// A whole chat completion.
pub(super) fn chat(request: &Value, turn: &Turn, number: usize) -> Value {
    let (message, finish) = match turn {
        Turn::Say(text) => (
            json!({"role": "assistant", "content": text, "refusal": null, "annotations": []}),
            "stop",
        ),
        Turn::Call { name, arguments } => (
            json!({"role": "assistant", "content": null, "refusal": null, "annotations": [],
                   "tool_calls": [{"id": call_id(number), "type": "function",
                                   "function": {"name": name, "arguments": arguments}}]}),
            "tool_calls",
        ),
    };
    json!({
        "id": format!("chatcmpl-stand-in-{number:06}"),
        "object": "chat.completion",
        "created": CREATED,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "usage": usage(),
        "service_tier": "default",
        "system_fingerprint": "fp_stand_in"
    })
}

/// Embeddings of every input, all of them zero.
pub(super) fn embeddings(request: &Value) -> Value {
    let count = request["input"].as_array().map_or(1, Vec::len);
    let vector = match request["encoding_format"].as_str() {
        // Three little-endian floats.
        Some("base64") => json!("AAAAAAAAAAAAAAAA"),
        _ => json!([0.0, 0.0, 0.0]),
    };
    let each = |index| json!({"object": "embedding", "index": index, "embedding": vector});
    let data: Vec<Value> = (0..count).map(each).collect();
    json!({"object": "list", "data": data, "model": request["model"],
           "usage": {"prompt_tokens": 8, "total_tokens": 8}})
}

/// The events of a streamed chat completion, each with its `data:` line and blank line.
pub(super) fn chat_events(request: &Value, turn: &Turn, number: usize) -> Vec<String> {
    let mut deltas = Vec::new();
    let finish = match turn {
        Turn::Say(text) => {
            deltas.push(json!({"role": "assistant", "content": "", "refusal": null}));
            deltas.extend(pieces(text).map(|piece| json!({"content": piece})));
            "stop"
        }
        Turn::Call { name, arguments } => {
            deltas.push(json!({"role": "assistant", "content": null, "tool_calls": [
                {"index": 0, "id": call_id(number), "type": "function",
                 "function": {"name": name, "arguments": ""}}]}));
            deltas.extend(pieces(arguments).map(
                |piece| json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}),
            ));
            "tool_calls"
        }
    };
    let wants_usage = request["stream_options"]["include_usage"] == true;
    let chunk = |choices: Value, usage: Option<Value>| {
        let mut chunk = json!({
            "id": format!("chatcmpl-stand-in-{number:06}"),
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": request["model"],
            "service_tier": "default",
            "system_fingerprint": "fp_stand_in",
            "choices": choices
        });
        // With `include_usage` every chunk has the field, null in all but the last.
        if wants_usage {
            chunk["usage"] = usage.unwrap_or(Value::Null);
        }
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    let mut events: Vec<String> =
        deltas.into_iter().map(|delta| chunk(choice(delta, Value::Null), None)).collect();
    events.push(chunk(choice(json!({}), Value::from(finish)), None));
    if wants_usage {
        events.push(chunk(json!([]), Some(usage())));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// The list of models.
pub(super) fn models() -> Value {
    let model =
        |id: &str| json!({"id": id, "object": "model", "created": CREATED, "owned_by": "system"});
    json!({"object": "list", "data": [model("gpt-4.1"), model("gpt-4.1-mini"), model("gpt-4o"), model("o3")]})
}

/// An error in the provider's shape.
pub(super) fn error(message: &str, code: Option<&str>) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}})
}

pub(super) fn call_id(number: usize) -> String {
    format!("call_stand_in_{number:06}")
}

fn usage() -> Value {
    json!({
        "prompt_tokens": 19,
        "completion_tokens": 27,
        "total_tokens": 46,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
    })
}

/// Cuts a text into deltas.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = String> + use<> {
    let characters: Vec<char> = text.chars().collect();
    let pieces: Vec<String> =
        characters.chunks(DELTA_CHARS).map(|piece| piece.iter().collect()).collect();
    pieces.into_iter()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn joined(events: &[String], pointer: &str) -> String {
        events
            .iter()
            .filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")))
            .filter_map(|data| serde_json::from_str::<Value>(data).ok())
            .filter_map(|data| data.pointer(pointer)?.as_str().map(str::to_owned))
            .collect()
    }

    #[test]
    fn streamed_deltas_join_to_the_answer_and_split_the_address() {
        let request = json!({"model": "m", "stream_options": {"include_usage": true}});
        let text = "write to a.person@example.com";
        let events = chat_events(&request, &Turn::Say(text.to_owned()), 0);
        assert_eq!(joined(&events, "/choices/0/delta/content"), text);
        assert!(events.iter().all(|event| !event.contains("a.person@example.com")));
        assert!(events[events.len() - 2].contains("\"total_tokens\":46"));
        assert_eq!(events[events.len() - 1], "data: [DONE]\n\n");
    }

    #[test]
    fn a_tool_is_called_once_and_then_the_assistant_speaks() {
        let tool = json!({"type": "function", "function": {"name": "look_up", "parameters":
            {"type": "object", "properties": {"order": {"type": "string"}}}}});
        let first = json!({"messages": [{"role": "user"}], "tools": [tool]});
        let call = Turn::Call { name: "look_up".into(), arguments: r#"{"order":"A-1001"}"#.into() };
        assert_eq!(Turn::of(&first, "hi"), call);
        let events = chat_events(&first, &call, 0);
        let arguments = joined(&events, "/choices/0/delta/tool_calls/0/function/arguments");
        assert_eq!(arguments, r#"{"order":"A-1001"}"#);
        let second = json!({"messages": [{"role": "user"}, {"role": "tool"}], "tools": [tool]});
        assert_eq!(Turn::of(&second, "hi"), Turn::Say("hi".into()));
    }
}
