// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stands in place of a call that is denied, and of arguments that are masked.

use serde_json::{Map, Value, json};

use super::found::{Form, is_argument, text};
use crate::mask::Masker;
use crate::protocol::body::{Tables, mask_body};

/// A message, or a block of text, in place of a call.
pub(super) fn said(form: Form, call: &Value, refusal: &str) -> Value {
    match form {
        Form::Block => block(refusal),
        Form::Item => item(&message_id(text(call, "id")), &[part(refusal)], "completed"),
    }
}

/// A block of text.
pub(super) fn block(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// A part of a message in an answer.
pub(super) fn part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

/// A message of an answer.
pub(super) fn item(id: &str, content: &[Value], status: &str) -> Value {
    json!({
        "id": id, "type": "message", "status": status, "role": "assistant", "content": content,
    })
}

/// The id of the message in place of an item: the API expects a prefix for each type.
pub(super) fn message_id(id: &str) -> String {
    format!("msg_{}", id.split_once('_').map_or(id, |(_, rest)| rest))
}

/// Adds a text to a message of a chat.
pub(super) fn say(message: &mut Map<String, Value>, refusal: &str) {
    let content = match message.remove("content") {
        Some(Value::String(text)) if !text.is_empty() => {
            Value::from(format!("{text}\n\n{refusal}"))
        }
        Some(Value::Array(mut parts)) => {
            parts.push(block(refusal));
            Value::from(parts)
        }
        _ => Value::from(refusal),
    };
    message.insert("content".to_owned(), content);
}

/// Masks the arguments in an entry of `tool_calls`, or in `function_call`.
pub(super) fn mask_chat(call: &mut Value, masker: &Masker) {
    let Value::Object(members) = call else { return };
    for (name, value) in members.iter_mut() {
        match (name.as_str(), value) {
            ("arguments" | "input", value) => mask(value, masker),
            ("id" | "type" | "name", _) => {}
            (_, Value::Object(inner)) => inner
                .iter_mut()
                .filter(|(name, _)| *name != "name")
                .for_each(|(_, value)| mask(value, masker)),
            _ => {}
        }
    }
}

/// Masks the arguments of an item or a block.
pub(super) fn mask_typed(call: &mut Value, masker: &Masker) {
    let Value::Object(members) = call else { return };
    members
        .iter_mut()
        .filter(|(name, _)| is_argument(name))
        .for_each(|(_, value)| mask(value, masker));
}

/// Masks all texts of a value. One that cannot be read again is left out.
pub(super) fn mask(value: &mut Value, masker: &Masker) {
    let masked = mask_body(&Tables::NONE, value.to_string().as_bytes(), masker);
    let masked = masked.ok().and_then(|masked| serde_json::from_slice(&masked.bytes).ok());
    *value = masked.unwrap_or(Value::Null);
}
