// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The events of a stream, held while a call in it is not complete. They go on in the order in which they came, but for
//! those that only keep the connection alive.

use serde_json::Value;

use super::choices::Choices;
use super::items::Items;
use super::judge::{Calls, JudgedCall};
use super::ledger::Ledger;
use super::plain::settle;
use super::{Unclear, found};
use crate::model::limits::TOOL_CALLS_HELD_BYTES_MAX;
use crate::protocol::json_tree::Node;
use crate::protocol::sse;

/// Events that carry nothing.
const KEEPALIVES: [&str; 2] = ["keepalive", "ping"];

/// Holds events until the calls in them are judged.
#[derive(Clone, Debug)]
pub(in crate::protocol::answer) struct Gate {
    ledger: Ledger,
    choices: Choices,
    items: Items,
    held: Vec<sse::Event>,
    held_bytes: usize,
    /// What is only watched could not be followed, so nothing of it is judged any more.
    is_lost: bool,
}

impl Gate {
    pub(in crate::protocol::answer) fn new(calls: Calls) -> Self {
        Self {
            ledger: Ledger::new(calls),
            choices: Choices::default(),
            items: Items::default(),
            held: Vec::new(),
            held_bytes: 0,
            is_lost: false,
        }
    }

    /// True if what is denied does not go on.
    pub(in crate::protocol::answer) const fn is_held(&self) -> bool {
        self.ledger.are_held()
    }

    /// The calls that were judged since the last time.
    pub(in crate::protocol::answer) fn take_judged(&mut self) -> Vec<JudgedCall> {
        self.ledger.take()
    }

    /// Bytes of events that wait for the end of a call.
    pub(in crate::protocol::answer) const fn waiting(&self) -> usize {
        self.held_bytes
    }

    /// Takes an event and returns those that may go on now.
    pub(in crate::protocol::answer) fn push(
        &mut self,
        event: &sse::Event,
        node: &Node<'_>,
    ) -> Result<Vec<sse::Event>, Unclear> {
        let value = node.to_value();
        if !self.is_held() {
            self.watch(value);
            return Ok(vec![event.clone()]);
        }
        self.read(&value)?;
        if self.held.is_empty() && !self.is_open() {
            let mut out = Vec::new();
            self.edit(event.clone(), &value, &mut out)?;
            return Ok(out);
        }
        if KEEPALIVES.contains(&found::text(&value, "type")) {
            return Ok(vec![event.clone()]);
        }
        self.held_bytes += event.raw.len() + event.data.as_ref().map_or(0, Vec::len);
        self.held.push(event.clone());
        if self.held_bytes > TOOL_CALLS_HELD_BYTES_MAX {
            self.choices.deny_open(&mut self.ledger);
            self.items.deny_open(&mut self.ledger);
        }
        if self.is_open() { Ok(Vec::new()) } else { self.flush() }
    }

    /// The stream is over; what is held goes on.
    pub(in crate::protocol::answer) fn finish(&mut self) -> Result<Vec<sse::Event>, Unclear> {
        self.choices.end(&mut self.ledger);
        self.items.end(&mut self.ledger);
        if !self.is_held() {
            return Ok(Vec::new());
        }
        let mut out = self.flush()?;
        out.extend(self.choices.last().iter().map(made));
        Ok(out)
    }

    /// Judges without holding. What cannot be followed is not judged: nobody acts on it.
    fn watch(&mut self, mut value: Value) {
        if self.is_lost {
            return;
        }
        let is_of_call = self.read(&value);
        let read = is_of_call.and_then(|is_of_call| match is_of_call {
            true => Ok(()),
            false => settle(&mut value, &mut self.ledger).map(|_settled| ()),
        });
        self.is_lost = read.is_err();
    }

    /// Reads an event; true if it belongs to calls in pieces.
    fn read(&mut self, value: &Value) -> Result<bool, Unclear> {
        if is_chunk(value) {
            self.choices.read(value, &mut self.ledger)?;
            return Ok(true);
        }
        self.items.read(value, &mut self.ledger)
    }

    fn is_open(&self) -> bool {
        self.choices.is_open() || self.items.is_open()
    }

    fn flush(&mut self) -> Result<Vec<sse::Event>, Unclear> {
        self.held_bytes = 0;
        let mut out = Vec::new();
        for event in std::mem::take(&mut self.held) {
            let data = event.data.as_deref().unwrap_or_default();
            let value = Node::read(data).map_err(|_cause| Unclear)?.to_value();
            self.edit(event, &value, &mut out)?;
        }
        Ok(out)
    }

    /// An event after the verdicts.
    fn edit(
        &mut self,
        event: sse::Event,
        value: &Value,
        out: &mut Vec<sse::Event>,
    ) -> Result<(), Unclear> {
        let edited = if is_chunk(value) {
            self.choices.edit(value)
        } else {
            self.items.edit(value, &mut self.ledger)?
        };
        match edited.as_deref() {
            None => out.push(event),
            Some([one]) if found::text(one, "type") == found::text(value, "type") => {
                out.push(event.replaced(one.to_string().as_bytes()));
            }
            Some(events) => out.extend(events.iter().map(made)),
        }
        Ok(())
    }
}

/// An event of a chat, whatever else is in it.
fn is_chunk(value: &Value) -> bool {
    value.get("choices").is_some_and(Value::is_array)
}

/// An event that the provider did not send.
fn made(value: &Value) -> sse::Event {
    let kind = value.get("type").and_then(Value::as_str);
    sse::Event::made(kind, &value.to_string())
}
