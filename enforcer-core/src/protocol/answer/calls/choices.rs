// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls in a stream of chunks of a chat: pieces of one are known by their choice and index. A choice is judged when
//! it is finished, since a provider may send the pieces of its calls in any order.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Unclear;
use super::found::{Found, text};
use super::ledger::{Ledger, Verdict};
use super::plain::put;
use super::replaced::mask;
use crate::model::limits::{TOOL_CALL_BYTES_MAX, TOOL_CALLS_MAX};

/// Where pieces of a choice stand.
const HOLDERS: [&str; 2] = ["delta", "message"];

/// The choices of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Choices {
    choices: BTreeMap<u64, Choice>,
    calls: usize,
    /// What all chunks have in common.
    common: Map<String, Value>,
}

#[derive(Clone, Debug, Default)]
struct Choice {
    calls: BTreeMap<Slot, Call>,
    is_over: bool,
    has_text: bool,
    /// The refusals are out.
    is_told: bool,
}

/// Where a call stands in its choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    /// The older form, of which there is one.
    Function,
    /// By its index.
    Tool(u64),
}

#[derive(Clone, Debug, Default)]
struct Call {
    id: String,
    /// The member that holds name and arguments: `function`, `custom`, or another type.
    member: String,
    name: String,
    text: String,
    verdict: Option<Verdict>,
    /// The masked arguments are out.
    is_out: bool,
}

impl Call {
    fn found(&self) -> Found {
        let arguments = if self.member == "custom" { "input" } else { "arguments" };
        Found::of_chat(&json!({
            "id": self.id,
            "type": self.member,
            &self.member: { "name": self.name, arguments: self.text },
        }))
    }

    /// Takes a piece. What clients would put together differently is unclear: an id or a name in pieces.
    fn add(&mut self, piece: &Value, slot: Slot) -> Result<(), Unclear> {
        once(&mut self.id, text(piece, "id"))?;
        let (member, inner) = match slot {
            Slot::Function => ("function", piece),
            Slot::Tool(_) => match holder_of(piece) {
                Some(found) => found,
                None => return Ok(()),
            },
        };
        once(&mut self.member, member)?;
        let Value::Object(inner) = inner else { return Err(Unclear) };
        for (name, value) in inner {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("name", Value::String(name)) => once(&mut self.name, name)?,
                ("arguments" | "input", Value::String(piece)) => self.text.push_str(piece),
                _ => return Err(Unclear),
            }
        }
        Ok(())
    }
}

/// The member of a piece that holds name and arguments; nothing if it has none, as a piece with an id only.
fn holder_of(piece: &Value) -> Option<(&str, &Value)> {
    let members = piece.as_object()?.iter();
    let mut holders = members.filter(|(name, value)| {
        !matches!(name.as_str(), "index" | "id" | "type" | "extra_content") && !value.is_null()
    });
    holders.next().map(|(name, value)| (name.as_str(), value))
}

/// Sets what comes once.
fn once(known: &mut String, piece: &str) -> Result<(), Unclear> {
    if known.is_empty() {
        piece.clone_into(known);
    }
    if piece.is_empty() || piece == known { Ok(()) } else { Err(Unclear) }
}

impl Choices {
    /// Whether some call waits for its verdict.
    pub(super) fn is_open(&self) -> bool {
        self.open().next().is_some()
    }

    fn open(&self) -> impl Iterator<Item = &Call> {
        let calls = self.choices.values().flat_map(|choice| choice.calls.values());
        calls.filter(|call| call.verdict.is_none())
    }

    /// Reads a chunk: puts calls together, and judges those of a choice that is finished.
    pub(super) fn read(&mut self, chunk: &Value, ledger: &mut Ledger) -> Result<(), Unclear> {
        for name in ["id", "object", "created", "model", "system_fingerprint", "service_tier"] {
            if let Some(value) = chunk.get(name) {
                self.common.insert(name.to_owned(), value.clone());
            }
        }
        for (position, choice) in chunk_choices(chunk).enumerate() {
            let index = index_of(choice, position);
            let state = self.choices.entry(index).or_default();
            for holder in HOLDERS.iter().filter_map(|name| choice.get(*name)) {
                for (slot, piece) in pieces(holder)? {
                    if state.is_over {
                        return Err(Unclear);
                    }
                    if !state.calls.contains_key(&slot) {
                        self.calls += 1;
                    }
                    if self.calls > TOOL_CALLS_MAX {
                        return Err(Unclear);
                    }
                    let call = state.calls.entry(slot).or_default();
                    call.add(piece, slot)?;
                    if call.text.len() > TOOL_CALL_BYTES_MAX && call.verdict.is_none() {
                        call.verdict = Some(ledger.too_much(&call.found()));
                    }
                    if call.verdict.as_ref().is_some_and(Verdict::is_denial) {
                        call.text.clear();
                    }
                }
                let content = holder.get("content");
                state.has_text |= content.is_some_and(|content| match content {
                    Value::String(text) => !text.is_empty(),
                    other => !other.is_null(),
                });
            }
            if is_finished(choice) {
                state.judge(ledger);
            }
        }
        Ok(())
    }

    /// The stream is over: what is there of its calls is all of them.
    pub(super) fn end(&mut self, ledger: &mut Ledger) {
        self.choices.values_mut().for_each(|choice| choice.judge(ledger));
    }

    /// Denies what is not complete.
    pub(super) fn deny_open(&mut self, ledger: &mut Ledger) {
        let calls = self.choices.values_mut().flat_map(|choice| choice.calls.values_mut());
        for call in calls.filter(|call| call.verdict.is_none()) {
            call.verdict = Some(ledger.too_much(&call.found()));
            call.text.clear();
        }
    }

    /// The refusals that are not out when the stream ends without a finish.
    pub(super) fn last(&mut self) -> Vec<Value> {
        let open = self.choices.iter_mut();
        let told = open.filter_map(|(index, choice)| Some((*index, choice.refusal()?)));
        told.map(|(index, refusal)| said(&self.common, index, &refusal)).collect()
    }

    /// A chunk after the verdicts: nothing if it stays as it is.
    pub(super) fn edit(&mut self, chunk: &Value) -> Option<Vec<Value>> {
        let mut edited = chunk.clone();
        let (mut is_changed, mut before) = (false, Vec::new());
        let choices = edited.get_mut("choices").and_then(Value::as_array_mut)?;
        for (position, choice) in choices.iter_mut().enumerate() {
            let index = index_of(choice, position);
            let Some(state) = self.choices.get_mut(&index) else { continue };
            for name in HOLDERS {
                if let Some(Value::Object(holder)) = choice.get_mut(name) {
                    is_changed |= state.edit(holder);
                }
            }
            if !is_finished(choice) {
                continue;
            }
            if let Some(refusal) = state.refusal() {
                before.push(said(&self.common, index, &refusal));
            }
            if let Value::Object(members) = choice
                && state.is_denied_whole()
            {
                let reasons = ["tool_calls", "function_call"];
                is_changed |= put(members, "finish_reason", &reasons, "stop");
            }
        }
        if !is_changed && before.is_empty() {
            return None;
        }
        if !(is_changed && is_hollow(&edited)) {
            before.push(edited);
        }
        Some(before)
    }
}

impl Choice {
    fn judge(&mut self, ledger: &mut Ledger) {
        self.is_over = true;
        for call in self.calls.values_mut().filter(|call| call.verdict.is_none()) {
            call.verdict = Some(ledger.verdict(&call.found()));
        }
    }

    fn is_denied(call: &Call) -> bool {
        call.verdict.as_ref().is_some_and(Verdict::is_denial)
    }

    /// Whether there were calls and none is left.
    fn is_denied_whole(&self) -> bool {
        !self.calls.is_empty() && self.calls.values().all(Self::is_denied)
    }

    /// What stands in place of the calls that were denied, once.
    fn refusal(&mut self) -> Option<String> {
        let texts = self.calls.values().filter_map(|call| match &call.verdict {
            Some(Verdict::Deny(text)) => Some(text.as_str()),
            Some(Verdict::Mask(_) | Verdict::Pass) | None => None,
        });
        let texts: Vec<&str> = texts.collect();
        if texts.is_empty() || self.is_told {
            return None;
        }
        let text = texts.join("\n");
        self.is_told = true;
        Some(if self.has_text { format!("\n\n{text}") } else { text })
    }

    /// The index of a call among those that are left: clients count from 0.
    fn index_left(&self, index: u64) -> u64 {
        let before = self.calls.range(..Slot::Tool(index));
        let before =
            before.filter(|(slot, call)| **slot != Slot::Function && !Self::is_denied(call));
        before.count() as u64
    }

    /// Takes what is denied out of a delta, and masks the rest.
    fn edit(&mut self, holder: &mut Map<String, Value>) -> bool {
        let mut is_changed = false;
        let has_denied = self.calls.values().any(Self::is_denied);
        if let Some(Value::Array(pieces)) = holder.get_mut("tool_calls") {
            let mut left = Vec::with_capacity(pieces.len());
            for (position, mut piece) in std::mem::take(pieces).into_iter().enumerate() {
                let index = index_of(&piece, position);
                let renumbered = self.index_left(index);
                let Some(call) = self.calls.get_mut(&Slot::Tool(index)) else { continue };
                if Self::is_denied(call) {
                    is_changed = true;
                    continue;
                }
                is_changed |= call.mask(&mut piece);
                if has_denied
                    && renumbered != index
                    && let Value::Object(members) = &mut piece
                {
                    members.insert("index".to_owned(), renumbered.into());
                    is_changed = true;
                }
                left.push(piece);
            }
            *pieces = left;
        }
        if holder.get("tool_calls").and_then(Value::as_array).is_some_and(Vec::is_empty)
            && is_changed
        {
            holder.remove("tool_calls");
        }
        match (self.calls.get_mut(&Slot::Function), holder.get_mut("function_call")) {
            (Some(call), Some(_)) if Self::is_denied(call) => {
                holder.remove("function_call");
                is_changed = true;
            }
            (Some(call), Some(piece)) => is_changed |= call.mask(piece),
            (_, _) => {}
        }
        is_changed
    }
}

impl Call {
    /// Puts all of the masked arguments into the first piece of them.
    fn mask(&mut self, piece: &mut Value) -> bool {
        let Some(Verdict::Mask(masker)) = &self.verdict else { return false };
        let Value::Object(members) = piece else { return false };
        let inner = if members.contains_key(&self.member) {
            members.get_mut(&self.member).and_then(Value::as_object_mut)
        } else {
            Some(members)
        };
        let Some(inner) = inner else { return false };
        let mut is_changed = false;
        for name in ["arguments", "input"] {
            if let Some(value @ Value::String(_)) = inner.get_mut(name) {
                let mut masked = Value::from("");
                if !std::mem::replace(&mut self.is_out, true) {
                    masked = Value::from(self.text.as_str());
                    mask(&mut masked, masker);
                }
                *value = masked;
                is_changed = true;
            }
        }
        is_changed
    }
}

/// A chunk with a refusal.
fn said(common: &Map<String, Value>, index: u64, refusal: &str) -> Value {
    let mut chunk = common.clone();
    let choice = json!({ "index": index, "delta": { "content": refusal }, "finish_reason": null });
    chunk.insert("choices".to_owned(), json!([choice]));
    Value::from(chunk)
}

/// The pieces of calls in a delta.
fn pieces(holder: &Value) -> Result<Vec<(Slot, &Value)>, Unclear> {
    let mut found = Vec::new();
    match holder.get("tool_calls") {
        None | Some(Value::Null) => {}
        Some(Value::Array(pieces)) => {
            for (position, piece) in pieces.iter().enumerate() {
                let slot = Slot::Tool(index_of(piece, position));
                if !piece.is_object() || found.iter().any(|(known, _)| *known == slot) {
                    return Err(Unclear);
                }
                found.push((slot, piece));
            }
        }
        Some(_) => return Err(Unclear),
    }
    match holder.get("function_call") {
        None | Some(Value::Null) => {}
        Some(piece @ Value::Object(_)) => found.push((Slot::Function, piece)),
        Some(_) => return Err(Unclear),
    }
    Ok(found)
}

fn chunk_choices(chunk: &Value) -> impl Iterator<Item = &Value> {
    chunk.get("choices").and_then(Value::as_array).into_iter().flatten()
}

fn index_of(value: &Value, position: usize) -> u64 {
    value.get("index").and_then(Value::as_u64).unwrap_or(position as u64)
}

fn is_finished(choice: &Value) -> bool {
    !text(choice, "finish_reason").is_empty()
}

/// Whether nothing is left of a chunk that a client could show.
fn is_hollow(chunk: &Value) -> bool {
    let is_nothing = |value: &Value| value.is_null() || value.as_str() == Some("");
    let is_empty = |choice: &Value| {
        let mut holders = HOLDERS.iter().filter_map(|name| choice.get(*name)?.as_object());
        !is_finished(choice) && holders.all(|holder| holder.values().all(is_nothing))
    };
    chunk_choices(chunk).all(is_empty) && chunk.get("usage").is_none_or(Value::is_null)
}
