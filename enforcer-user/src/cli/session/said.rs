// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stored bodies say, in the words of those who spoke: requests and answers of chats, streamed or not.
//!
//! It does not judge and does not decode beyond what a person needs to follow; a body of an unknown shape is shown
//! as its beginning, and any body whole where that is asked for.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// Characters of a body without a known shape that are shown.
const EXCERPT_CHARS: usize = 400;

/// Something that someone said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Said {
    /// Who: the role, `tool call`, `error`, `body`.
    pub(super) who: String,
    /// What.
    pub(super) what: String,
}

impl Said {
    pub(super) fn new(who: impl Into<String>, what: impl Into<String>) -> Self {
        Self { who: who.into(), what: what.into() }
    }
}

/// All of a body, as it is stored; JSON with line breaks.
pub(super) fn whole(body: &str) -> Vec<Said> {
    if body.is_empty() {
        return Vec::new();
    }
    let json = serde_json::from_str::<Value>(body).ok();
    let pretty = json.and_then(|json| serde_json::to_string_pretty(&json).ok());
    vec![Said::new("body", pretty.unwrap_or_else(|| body.to_owned()))]
}

/// The messages of a request since the model spoke last; the earlier ones were shown when they were new.
pub(super) fn asked(body: &str) -> Vec<Said> {
    let Ok(json) = serde_json::from_str::<Value>(body) else { return excerpt(body) };
    let Some(messages) = json.get("messages").and_then(Value::as_array) else {
        return excerpt(body);
    };
    let is_model = |message: &Value| message.get("role").is_some_and(|role| role == "assistant");
    let new = messages.iter().rposition(is_model).map_or(0, |last| last + 1);
    messages.iter().skip(new).flat_map(message).collect()
}

/// What a plain or streamed answer says.
pub(super) fn answered(body: &str) -> Vec<Said> {
    if body.trim_start().starts_with("data:") || body.trim_start().starts_with("event:") {
        return streamed(body);
    }
    let Ok(json) = serde_json::from_str::<Value>(body) else { return excerpt(body) };
    if let Some(error) = error_of(&json) {
        return vec![error];
    }
    let Some(choices) = json.get("choices").and_then(Value::as_array) else { return excerpt(body) };
    choices.iter().filter_map(|choice| choice.get("message")).flat_map(message).collect()
}

/// The pieces of a streamed answer, put together by choice.
fn streamed(body: &str) -> Vec<Said> {
    let mut texts: BTreeMap<(u64, u64), Said> = BTreeMap::new();
    let mut errors = Vec::new();
    for line in body.lines() {
        let data = line.strip_prefix("data:").map(str::trim);
        let Some(event) = data.and_then(|data| serde_json::from_str::<Value>(data).ok()) else {
            continue;
        };
        errors.extend(error_of(&event));
        let choices = event.get("choices").and_then(Value::as_array);
        for choice in choices.into_iter().flatten() {
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
            let Some(delta) = choice.get("delta") else { continue };
            if let Some(text) = delta.get("content").and_then(Value::as_str) {
                let said = texts.entry((index, 0)).or_insert_with(|| Said::new("assistant", ""));
                said.what.push_str(text);
            }
            let calls = delta.get("tool_calls").and_then(Value::as_array);
            for call in calls.into_iter().flatten() {
                let number = call.get("index").and_then(Value::as_u64).unwrap_or(0);
                let place = (index, number.saturating_add(1));
                let said = texts.entry(place).or_insert_with(|| Said::new("tool call", ""));
                said.what.push_str(&tool_call(call));
            }
        }
    }
    if texts.is_empty() && errors.is_empty() {
        return excerpt(body);
    }
    texts.into_values().filter(|said| !said.what.is_empty()).chain(errors).collect()
}

fn message(message: &Value) -> Vec<Said> {
    let role = message.get("role").and_then(Value::as_str).unwrap_or("assistant");
    let mut said = Vec::new();
    let text = match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(part).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    };
    if !text.is_empty() {
        said.push(Said::new(role, text));
    }
    let calls = message.get("tool_calls").and_then(Value::as_array);
    said.extend(calls.into_iter().flatten().map(|call| Said::new("tool call", tool_call(call))));
    said
}

fn part(part: &Value) -> String {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or("part");
    let text = part.get("text").and_then(Value::as_str);
    text.map_or_else(|| format!("[{kind}]"), str::to_owned)
}

/// A tool call or a piece of one: the name, then the arguments as they come.
fn tool_call(call: &Value) -> String {
    let function = call.get("function");
    let word = |key| function.and_then(|f| f.get(key)).and_then(Value::as_str);
    let name = word("name").map(|name| format!("{name} ")).unwrap_or_default();
    name + word("arguments").unwrap_or_default()
}

fn error_of(json: &Value) -> Option<Said> {
    let error = json.get("error").filter(|error| !error.is_null())?;
    let message = error.get("message").and_then(Value::as_str);
    Some(Said::new("error", message.map_or_else(|| error.to_string(), str::to_owned)))
}

fn excerpt(body: &str) -> Vec<Said> {
    let mut text: String = body.chars().take(EXCERPT_CHARS).collect();
    if text.len() < body.len() {
        text.push('…');
    }
    if text.is_empty() { Vec::new() } else { vec![Said::new("body", text)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: Vec<Said>, expect: &[(&str, &str)]) {
        let expect: Vec<_> = expect.iter().map(|(who, what)| Said::new(*who, *what)).collect();
        assert_eq!(said, expect);
    }

    #[test]
    fn only_what_is_new_in_a_request_is_shown() {
        check(
            asked(
                r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},
                {"role":"assistant","content":"b"},{"role":"user","content":[{"type":"text","text":"c"},
                {"type":"image_url","image_url":{}}]}]}"#,
            ),
            &[("user", "c\n[image_url]")],
        );
        check(asked("not json"), &[("body", "not json")]);
        check(asked(r#"{"input":1}"#), &[("body", r#"{"input":1}"#)]);
        check(asked(""), &[]);
    }

    #[test]
    fn a_streamed_answer_is_put_together() {
        let body = concat!(
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"He\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"llo\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]}}]}\n\n",
            "data: {\"error\":{\"message\":\"cut\"}}\n\ndata: [DONE]\n\n",
        );
        check(answered(body), &[("assistant", "Hello"), ("tool call", "f {}"), ("error", "cut")]);
    }

    #[test]
    fn a_whole_body_is_all_that_is_stored_of_it() {
        let long = "x".repeat(EXCERPT_CHARS + 1);
        check(whole(&long), &[("body", &long)]);
        check(
            whole(r#"{"model":"m","messages":[]}"#),
            &[("body", "{\n  \"model\": \"m\",\n  \"messages\": []\n}")],
        );
        check(whole(""), &[]);
    }

    #[test]
    fn a_plain_answer_and_an_error_are_shown() {
        let plain = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"}}]}"#;
        check(answered(plain), &[("assistant", "hi")]);
        check(answered(r#"{"error":{"message":"no"}}"#), &[("error", "no")]);
    }
}
