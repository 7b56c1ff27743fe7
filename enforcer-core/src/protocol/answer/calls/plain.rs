// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls in a value that is there as a whole: a plain answer, or one event of a stream.

use serde_json::{Map, Value};

use super::Unclear;
use super::found::{Form, Found, form_of_call, form_of_result};
use super::ledger::{Ledger, Verdict};
use super::replaced::{mask_chat, mask_typed, said, say};

/// What stands in place of a result whose call was denied.
const RESULT: &str = "Enforcer withheld the result: its call was denied.";

/// What became of the calls in a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) is_changed: bool,
    /// Some call in it was denied.
    pub(super) has_denied: bool,
}

impl Settled {
    const DENIED: Self = Self { is_changed: true, has_denied: true };

    const fn and(self, other: Self) -> Self {
        Self {
            is_changed: self.is_changed || other.is_changed,
            has_denied: self.has_denied || other.has_denied,
        }
    }
}

/// Judges every call of a value, wherever it stands, and replaces those that are denied. True if it changed.
pub(in crate::protocol::answer) fn judge_all(
    value: &mut Value,
    ledger: &mut Ledger,
) -> Result<bool, Unclear> {
    settle(value, ledger).map(|settled| settled.is_changed)
}

/// The same, and whether some call was denied.
pub(super) fn settle(value: &mut Value, ledger: &mut Ledger) -> Result<Settled, Unclear> {
    if let Some(form) = form_of_call(value) {
        return Ok(typed(form, value, ledger));
    }
    if let Some((form, id)) = form_of_result(value)
        && ledger.hides_result(id)
    {
        *value = said(form, value, RESULT);
        return Ok(Settled::DENIED);
    }
    match value {
        Value::Array(items) => items
            .iter_mut()
            .try_fold(Settled::default(), |all, item| Ok(all.and(settle(item, ledger)?))),
        Value::Object(members) => object(members, ledger),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Ok(Settled::default())
        }
    }
}

fn typed(form: Form, value: &mut Value, ledger: &mut Ledger) -> Settled {
    match ledger.verdict(&Found::of_typed(value)) {
        Verdict::Pass => Settled::default(),
        Verdict::Mask(masker) => {
            mask_typed(value, &masker);
            Settled { is_changed: true, has_denied: false }
        }
        Verdict::Deny(refusal) => {
            *value = said(form, value, &refusal);
            Settled::DENIED
        }
    }
}

fn object(members: &mut Map<String, Value>, ledger: &mut Ledger) -> Result<Settled, Unclear> {
    let mut all = chat(members, ledger)?;
    for (name, member) in members.iter_mut() {
        if name != "tool_calls" && name != "function_call" {
            all = all.and(settle(member, ledger)?);
        }
    }
    if all.has_denied {
        end(members);
    }
    Ok(all)
}

/// The calls of a message of a chat.
fn chat(members: &mut Map<String, Value>, ledger: &mut Ledger) -> Result<Settled, Unclear> {
    let (mut all, mut refusals) = (Settled::default(), Vec::new());
    let mut judge = |call: &mut Value| match ledger.verdict(&Found::of_chat(call)) {
        Verdict::Pass => true,
        Verdict::Mask(masker) => {
            mask_chat(call, &masker);
            all.is_changed = true;
            true
        }
        Verdict::Deny(refusal) => {
            refusals.push(refusal);
            false
        }
    };
    match members.get_mut("tool_calls") {
        None | Some(Value::Null) => {}
        Some(Value::Array(calls)) if calls.iter().all(Value::is_object) => {
            calls.retain_mut(&mut judge);
        }
        Some(_) => return Err(Unclear),
    }
    let is_function_out = match members.get_mut("function_call") {
        None | Some(Value::Null | Value::String(_)) => false,
        Some(call @ Value::Object(_)) => !judge(call),
        Some(_) => return Err(Unclear),
    };
    if refusals.is_empty() {
        return Ok(all);
    }
    // What is no message has no place for a text.
    if !members.contains_key("role") && !members.contains_key("content") {
        return Err(Unclear);
    }
    if is_function_out {
        members.remove("function_call");
    }
    if members.get("tool_calls").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        members.remove("tool_calls");
    }
    say(members, &refusals.join("\n"));
    Ok(Settled::DENIED)
}

/// Says why an answer ended, if it was for calls and none is left.
fn end(members: &mut Map<String, Value>) {
    let has_calls = |message: &Value| {
        let list = message.get("tool_calls").and_then(Value::as_array);
        list.is_some_and(|calls| !calls.is_empty()) || message.get("function_call").is_some()
    };
    if let Some(message) = members.get("message")
        && !has_calls(message)
    {
        put(members, "finish_reason", &["tool_calls", "function_call"], "stop");
    }
    let blocks = members.get("content").and_then(Value::as_array);
    let is_use = |block: &Value| block.get("type").and_then(Value::as_str) == Some("tool_use");
    if blocks.is_some_and(|blocks| !blocks.iter().any(is_use)) {
        put(members, "stop_reason", &["tool_use"], "end_turn");
    }
}

/// Replaces a word by another one.
pub(super) fn put(members: &mut Map<String, Value>, name: &str, words: &[&str], by: &str) -> bool {
    let is_one = |value: &Value| value.as_str().is_some_and(|word| words.contains(&word));
    match members.get_mut(name).filter(|value| is_one(value)) {
        Some(value) => {
            *value = Value::from(by);
            true
        }
        None => false,
    }
}
