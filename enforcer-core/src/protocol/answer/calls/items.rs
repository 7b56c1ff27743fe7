// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls in a stream of typed events: an event begins an item or a block, others with the same index carry pieces of
//! it, one ends it. A call is judged at its end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Unclear;
use super::found::{Form, Found, form_of_call, form_of_result, is_argument, text};
use super::ledger::{Ledger, Verdict};
use super::plain::{put, settle};
use super::replaced::{block, item, mask, mask_typed, message_id, part};
use crate::model::limits::{TOOL_CALL_BYTES_MAX, TOOL_CALLS_MAX};

/// Where an event has the item or block that it begins or ends.
const NESTED: [&str; 2] = ["item", "content_block"];
/// Events that a message in place of a call consists of.
const MESSAGE_EVENTS: i64 = 6;

/// The calls of a stream of typed events.
#[derive(Clone, Debug, Default)]
pub(super) struct Items {
    /// By their index in the answer.
    items: BTreeMap<u64, Item>,
    /// How many more events went out than came.
    shift: i64,
}

#[derive(Clone, Debug)]
struct Item {
    form: Form,
    begun: Value,
    /// The pieces of its arguments.
    text: String,
    /// Other readings: arguments that came as a whole.
    wholes: Vec<String>,
    verdict: Option<Verdict>,
    is_over: bool,
    /// The masked arguments are out.
    is_out: bool,
}

/// What an event is to the calls of its stream.
enum Part {
    Begin,
    End,
    Piece,
}

impl Items {
    /// Whether some call waits for its verdict.
    pub(super) fn is_open(&self) -> bool {
        self.items.values().any(|item| item.verdict.is_none())
    }

    /// Reads an event: puts calls together, and judges one that ends. True if it belongs to a call.
    pub(super) fn read(&mut self, event: &Value, ledger: &mut Ledger) -> Result<bool, Unclear> {
        let nested = nested(event);
        let form = nested.and_then(form_of_call);
        let hidden = || {
            let (form, id) = form_of_result(nested?)?;
            ledger.hides_result(id).then_some(form)
        };
        let key = key(event);
        match (part_of(event), key.and_then(|key| self.items.get_mut(&key))) {
            (Part::Begin, Some(_)) => Err(Unclear),
            (Part::Begin, None) => {
                let Some(form) = form else { return Ok(hidden().is_some()) };
                let (Some(key), Some(begun)) = (key, nested) else { return Err(Unclear) };
                if self.items.len() >= TOOL_CALLS_MAX {
                    return Err(Unclear);
                }
                self.items.insert(key, Item::new(form, begun.clone()));
                Ok(true)
            }
            (Part::End, Some(item)) => {
                item.is_same(event)?;
                item.end(nested, ledger)?;
                Ok(true)
            }
            (Part::Piece, Some(item)) => {
                item.is_same(event)?;
                item.add(event, ledger)?;
                Ok(true)
            }
            (Part::End | Part::Piece, None) if is_piece_of_call(event) => Err(Unclear),
            (Part::End | Part::Piece, None) => Ok(false),
        }
    }

    /// The stream is over: what is there of its calls is all of them.
    pub(super) fn end(&mut self, ledger: &mut Ledger) {
        for item in self.items.values_mut().filter(|item| item.verdict.is_none()) {
            item.judge(None, ledger);
        }
    }

    /// Denies what is not complete.
    pub(super) fn deny_open(&mut self, ledger: &mut Ledger) {
        for item in self.items.values_mut().filter(|item| item.verdict.is_none()) {
            item.verdict = Some(ledger.too_much(&Found::of_typed(&item.begun)));
            item.forget();
        }
    }

    /// An event after the verdicts: nothing if it stays as it is.
    pub(super) fn edit(
        &mut self,
        event: &Value,
        ledger: &mut Ledger,
    ) -> Result<Option<Vec<Value>>, Unclear> {
        let item = key(event).and_then(|key| self.items.get_mut(&key));
        let before = self.shift;
        let edited = match item {
            Some(item) => {
                let edited = item.edit(event);
                if let Some(events) = &edited {
                    self.shift += events.len() as i64 - 1;
                }
                edited
            }
            None => {
                let mut edited = event.clone();
                let mut is_changed = settle(&mut edited, ledger)?.is_changed;
                is_changed |= self.end_turn(&mut edited);
                is_changed.then(|| vec![edited])
            }
        };
        if before == 0 || event.get("sequence_number").is_none() {
            return Ok(edited);
        }
        let mut events = edited.unwrap_or_else(|| vec![event.clone()]);
        events.iter_mut().for_each(|event| shift(event, before));
        Ok(Some(events))
    }

    /// Says why an answer ended, if it was for calls and none is left.
    fn end_turn(&self, event: &mut Value) -> bool {
        let is_denied = |item: &&Item| item.verdict.as_ref().is_some_and(Verdict::is_denial);
        let (denied, left): (Vec<&Item>, Vec<&Item>) = self.items.values().partition(is_denied);
        let is_use = |item: &&Item| text(&item.begun, "type") == "tool_use";
        if denied.is_empty() || left.iter().any(is_use) {
            return false;
        }
        match event.get_mut("delta") {
            Some(Value::Object(delta)) => put(delta, "stop_reason", &["tool_use"], "end_turn"),
            _ => false,
        }
    }
}

impl Item {
    fn new(form: Form, begun: Value) -> Self {
        let (text, wholes) = (String::new(), Vec::new());
        Self { form, begun, text, wholes, verdict: None, is_over: false, is_out: false }
    }

    /// Two clients that sort by different members must find the same item.
    fn is_same(&self, event: &Value) -> Result<(), Unclear> {
        let (own, other) = (text(&self.begun, "id"), text(event, "item_id"));
        let is_same = own.is_empty() || other.is_empty() || own == other;
        if is_same && !self.is_over { Ok(()) } else { Err(Unclear) }
    }

    /// Takes a piece of the arguments.
    fn add(&mut self, event: &Value, ledger: &mut Ledger) -> Result<(), Unclear> {
        if self.verdict.is_some() {
            return Ok(());
        }
        match event.get("delta") {
            None => {}
            Some(Value::String(piece)) => self.text.push_str(piece),
            Some(delta) => match delta.get("partial_json") {
                Some(Value::String(piece)) => self.text.push_str(piece),
                _ => return Err(Unclear),
            },
        }
        for name in ["arguments", "input", "code"] {
            if let Some(Value::String(whole)) = event.get(name)
                && !self.wholes.contains(whole)
            {
                self.wholes.push(whole.clone());
            }
        }
        let bytes = self.text.len() + self.wholes.iter().map(String::len).sum::<usize>();
        if bytes > 2 * TOOL_CALL_BYTES_MAX {
            self.verdict = Some(ledger.too_much(&Found::of_typed(&self.begun)));
            self.forget();
        }
        Ok(())
    }

    fn end(&mut self, nested: Option<&Value>, ledger: &mut Ledger) -> Result<(), Unclear> {
        self.is_over = true;
        if let Some(last) = nested {
            let is_same = text(last, "type") == text(&self.begun, "type")
                && text(last, "id") == text(&self.begun, "id");
            if !is_same {
                return Err(Unclear);
            }
        }
        if self.verdict.is_none() {
            self.judge(nested, ledger);
        }
        Ok(())
    }

    /// Judges every reading of the call: a client may take the pieces, or what came as a whole.
    fn judge(&mut self, last: Option<&Value>, ledger: &mut Ledger) {
        let begun = Found::of_typed(&self.begun);
        let last = last.map(Found::of_typed);
        let named = last.clone().unwrap_or_else(|| begun.clone());
        let pieces = (!self.text.is_empty()).then(|| named.with_text(&self.text));
        let wholes = self.wholes.iter().map(|whole| named.with_text(whole));
        let mut readings: Vec<Found> = last.into_iter().chain(pieces).chain(wholes).collect();
        let is_telling = readings.is_empty() || !is_empty(&begun);
        if is_telling
            && !readings.iter().any(|reading| reading.call.arguments == begun.call.arguments)
        {
            readings.push(begun);
        }
        let mut verdict = Verdict::Pass;
        for reading in &readings {
            match (ledger.verdict(reading), &verdict) {
                (_, Verdict::Deny(_)) => {}
                (other @ (Verdict::Deny(_) | Verdict::Mask(_)), _) => verdict = other,
                (Verdict::Pass, _) => {}
            }
        }
        self.verdict = Some(verdict);
        if !matches!(self.verdict, Some(Verdict::Mask(_))) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.text = String::new();
        self.wholes = Vec::new();
    }

    fn edit(&mut self, event: &Value) -> Option<Vec<Value>> {
        match self.verdict.clone()? {
            Verdict::Pass => None,
            Verdict::Deny(refusal) => Some(match (self.form, part_of(event)) {
                (Form::Block, Part::Begin) => text_block(event, &refusal),
                (Form::Block, Part::End) => return None,
                (Form::Block | Form::Item, Part::Piece) | (Form::Item, Part::End) => Vec::new(),
                (Form::Item, Part::Begin) => message(event, text(&self.begun, "id"), &refusal),
            }),
            Verdict::Mask(masker) => {
                let mut edited = event.clone();
                let Value::Object(members) = &mut edited else { return None };
                for name in NESTED {
                    if let Some(nested) = members.get_mut(name) {
                        mask_typed(nested, &masker);
                    }
                }
                let piece = match members.get_mut("delta") {
                    Some(Value::Object(delta)) => delta.get_mut("partial_json"),
                    other => other,
                };
                if let Some(piece @ Value::String(_)) = piece {
                    *piece = Value::from("");
                    if !std::mem::replace(&mut self.is_out, true) {
                        *piece = Value::from(self.text.as_str());
                        mask(piece, &masker);
                    }
                }
                let own = |name: &str| name != "delta" && !NESTED.contains(&name);
                let is_key = |name: &str| name.ends_with("_id") || name.ends_with("index");
                let wholes = members.iter_mut().filter(|(name, _)| {
                    own(name) && is_argument(name) && !is_key(name) && *name != "sequence_number"
                });
                wholes.for_each(|(_, value)| mask(value, &masker));
                Some(vec![edited])
            }
        }
    }
}

/// Whether a call that begins says nothing of its arguments yet.
fn is_empty(begun: &Found) -> bool {
    matches!(begun.call.arguments.as_str(), "" | "{}")
}

fn nested(event: &Value) -> Option<&Value> {
    NESTED.iter().find_map(|name| event.get(*name))
}

/// The index of an item or block in its answer.
fn key(event: &Value) -> Option<u64> {
    event.get("output_index").or_else(|| event.get("index")).and_then(Value::as_u64)
}

fn part_of(event: &Value) -> Part {
    match (text(event, "type"), nested(event).is_some()) {
        ("content_block_stop", _) => Part::End,
        (kind, true) if kind.ends_with(".done") => Part::End,
        (_, true) => Part::Begin,
        (_, false) => Part::Piece,
    }
}

/// Whether an event carries a piece of a call, or says how one goes on.
fn is_piece_of_call(event: &Value) -> bool {
    let kind = text(event, "type");
    let is_json = event.get("delta").is_some_and(|delta| delta.get("partial_json").is_some());
    is_json || (kind.contains("_call") && nested(event).is_none())
}

/// The events of a block of text in place of one that begins.
fn text_block(event: &Value, refusal: &str) -> Vec<Value> {
    let mut begin = event.clone();
    let Value::Object(members) = &mut begin else { return Vec::new() };
    members.insert("content_block".to_owned(), block(""));
    let index = members.get("index").cloned().unwrap_or_default();
    let delta = json!({ "type": "text_delta", "text": refusal });
    vec![begin, json!({ "type": "content_block_delta", "index": index, "delta": delta })]
}

/// The events of a message in place of an item that begins.
fn message(event: &Value, id: &str, refusal: &str) -> Vec<Value> {
    let id = message_id(id);
    let output = event.get("output_index").cloned().unwrap_or_default();
    let of_item = |kind: &str, status: &str, content: &[Value]| json!({ "type": kind, "output_index": output, "item": item(&id, content, status) });
    let of_part = |kind: &str, more: Value| {
        let mut event = json!({
            "type": kind, "item_id": id, "output_index": output, "content_index": 0,
        });
        if let (Value::Object(members), Value::Object(more)) = (&mut event, more) {
            members.extend(more);
        }
        event
    };
    let mut events = vec![
        of_item("response.output_item.added", "in_progress", &[]),
        of_part("response.content_part.added", json!({ "part": part("") })),
        of_part("response.output_text.delta", json!({ "delta": refusal, "logprobs": [] })),
        of_part("response.output_text.done", json!({ "text": refusal, "logprobs": [] })),
        of_part("response.content_part.done", json!({ "part": part(refusal) })),
        of_item("response.output_item.done", "completed", &[part(refusal)]),
    ];
    if let Some(first) = event.get("sequence_number").and_then(Value::as_i64) {
        for (event, number) in events.iter_mut().zip(first..first.saturating_add(MESSAGE_EVENTS)) {
            if let Value::Object(members) = event {
                members.insert("sequence_number".to_owned(), number.into());
            }
        }
    }
    events
}

/// Counts the event on: others went out that the provider did not send.
fn shift(event: &mut Value, by: i64) {
    let number = event.get("sequence_number").and_then(Value::as_i64);
    if let (Some(number), Value::Object(members)) = (number, event) {
        members.insert("sequence_number".to_owned(), number.saturating_add(by).into());
    }
}
