// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Streamed answers, event by event: each is read once, for the agent, for the record and for
//! accounting.
//!
//! An event goes on as soon as it is complete, and as sent if nothing in it changes. With a masker, what is
//! not understood ends the stream. Without one, an event that is no JSON and could not be taken for any passes
//! and is counted by its bytes. What is stored ends where it could not be masked, and [`AnswerStream::is_kept_whole`]
//! says so. Nothing goes on behind the end marker. How texts are followed across events is the part of
//! [`Masking`].

use std::fmt;

use crate::model::{Denied, ExchangeId, Passed, Usage};
use crate::protocol::disown::disown;
use crate::protocol::json_tree::Node;
use crate::protocol::sse;

use super::calls::{Gate, JudgedCall, Unclear};
use super::error::StreamError;
use super::masking::Masking;
use super::shape::Shape;
use super::usage::usage_of;
use super::wants::{Keep, Wants};
use super::{events, meter, place};

/// What became of the next bytes of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    /// For the agent.
    pub deliver: Vec<u8>,
    /// For the record.
    pub keep: Vec<u8>,
}

/// How one side gets the events.
#[derive(Clone)]
enum Side {
    AsSent,
    /// As the other side gets them.
    Copied,
    Masked(Box<Masking>),
    Nothing,
}

/// Reads one streamed answer.
#[derive(Clone)]
pub struct AnswerStream {
    shape: &'static Shape,
    deliver: Side,
    keep: Side,
    choices: u64,
    is_observed: bool,
    is_strict: bool,
    framer: sse::Framer,
    /// Calls of tools are judged.
    gate: Option<Box<Gate>>,
    fault: Option<StreamError>,
    /// Events cannot be told apart any more; the rest passes and is counted by its bytes.
    is_blind: bool,
    is_kept_whole: bool,
    usage: Option<Usage>,
    passed: Passed,
    is_done: bool,
}

impl fmt::Debug for AnswerStream {
    /// Without the texts: what is held back may be what must not be written anywhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AnswerStream");
        shown.field("masked", &self.masked()).field("is_done", &self.is_done);
        shown.field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl AnswerStream {
    /// A reader of one answer.
    #[must_use]
    pub fn new(shape: &'static Shape, wants: Wants) -> Self {
        let Wants { deliver, keep, calls, choices, is_observed, is_strict } = wants;
        let masked = |masker| Side::Masked(Box::new(Masking::new(shape, masker)));
        let is_read = deliver.is_some() || calls.are_held();
        Self {
            shape,
            deliver: deliver.map_or(Side::AsSent, masked),
            keep: match keep {
                Keep::Masked(masker) if masker.is_empty() => Side::Copied,
                Keep::Masked(masker) => masked(masker),
                Keep::Nothing => Side::Nothing,
            },
            choices,
            is_observed: is_observed && !is_read,
            is_strict: is_strict || is_read,
            framer: sse::Framer::default(),
            gate: calls.are_judged().then(|| Box::new(Gate::new(calls))),
            fault: None,
            is_blind: false,
            is_kept_whole: true,
            usage: None,
            passed: Passed::default(),
            is_done: false,
        }
    }

    /// Takes bytes from upstream and returns those that may go on now.
    ///
    /// # Errors
    /// When the stream cannot be understood; nothing of it may follow. Events before the fault are
    /// returned first, the error then comes with the next call.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Pieces, StreamError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut out = Pieces::default();
        if self.is_observed {
            out.deliver.extend_from_slice(chunk);
        }
        if self.is_blind {
            self.pass_unread(chunk, &mut out);
            return Ok(out);
        }
        let mut events = Vec::new();
        let framed = self.framer.push(chunk, &mut events);
        let read = events.iter().try_for_each(|event| self.event(event, &mut out));
        let read = read.and_then(|()| match framed {
            Err(error) if self.is_strict && !self.is_observed => Err(StreamError::Events(error)),
            Err(_too_large) => {
                self.is_blind = true;
                let rest = self.framer.finish();
                rest.iter().for_each(|event| self.pass_unread(&event.raw, &mut out));
                Ok(())
            }
            Ok(()) => Ok(()),
        });
        self.fault = read.err();
        match self.fault {
            Some(fault) if out == Pieces::default() => Err(fault),
            _ => Ok(out),
        }
    }

    /// Ends the stream and returns what was held back.
    ///
    /// # Errors
    /// As [`AnswerStream::push`].
    pub fn finish(&mut self) -> Result<Pieces, StreamError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut out = Pieces::default();
        if let Some(event) = self.framer.finish() {
            self.event(&event, &mut out)?;
            // A masked event is passed on whole, whatever it was cut at.
            if matches!(self.deliver, Side::Masked(_)) {
                out.deliver.extend_from_slice(b"\n\n");
            }
            if matches!(self.keep, Side::Masked(_)) {
                out.keep.extend_from_slice(b"\n\n");
            }
        }
        self.release(&mut out)?;
        Ok(out)
    }

    /// What the agent gets in place of the rest when the stream is cut off.
    #[must_use]
    pub fn last_event(&self, denied: &Denied, exchange: Option<ExchangeId>) -> Vec<u8> {
        (self.shape.last_event)(denied, exchange)
    }

    /// Bytes that wait for the end of their event, or of a call.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.framer.waiting() + self.gate.as_ref().map_or(0, |gate| gate.waiting())
    }

    /// The calls that were judged since the last time.
    pub fn take_judged(&mut self) -> Vec<JudgedCall> {
        self.gate.as_mut().map(|gate| gate.take_judged()).unwrap_or_default()
    }

    /// The tokens that the provider reports, once it did: the largest report.
    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// What was seen of the answer so far.
    #[must_use]
    pub const fn passed(&self) -> Passed {
        self.passed
    }

    /// Places masked so far.
    #[must_use]
    pub fn masked(&self) -> u64 {
        if let Side::Masked(masking) = &self.deliver { masking.count() } else { 0 }
    }

    /// True once the end marker was seen.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.is_done
    }

    /// False if what was kept ends before the answer does.
    #[must_use]
    pub const fn is_kept_whole(&self) -> bool {
        self.is_kept_whole
    }

    fn event(&mut self, event: &sse::Event, out: &mut Pieces) -> Result<(), StreamError> {
        if self.is_done {
            // Nothing belongs behind the end marker.
            return Ok(());
        }
        match event.data.as_deref() {
            None => self.pass_lines(event, out),
            Some(data) if data.trim_ascii().is_empty() => self.pass_lines(event, out),
            Some(data) if is_done(data) => {
                self.release(out)?;
                self.is_done = true;
                self.pass_lines(event, out);
            }
            Some(data) => match Node::read(data) {
                Ok(chunk) => return self.chunk(event, data, &chunk, out),
                Err(_cause) => return self.unreadable(event, data, out),
            },
        }
        Ok(())
    }

    /// An event that carries no text of the answer.
    fn pass_lines(&mut self, event: &sse::Event, out: &mut Pieces) {
        let from = out.deliver.len();
        match &self.deliver {
            Side::Masked(_) => out.deliver.extend_from_slice(&event.without_texts(None, None)),
            _ if self.is_observed => {}
            _ => out.deliver.extend_from_slice(&event.raw),
        }
        match &self.keep {
            Side::Masked(_) => out.keep.extend_from_slice(&event.without_texts(None, None)),
            Side::Copied => self.copy(event, from, out),
            Side::AsSent | Side::Nothing => {}
        }
    }

    fn copy(&self, event: &sse::Event, from: usize, out: &mut Pieces) {
        let delivered = out.deliver.get(from..).unwrap_or_default();
        out.keep.extend_from_slice(if self.is_observed { &event.raw } else { delivered });
    }

    fn chunk(
        &mut self,
        event: &sse::Event,
        data: &[u8],
        chunk: &Node<'_>,
        out: &mut Pieces,
    ) -> Result<(), StreamError> {
        match (self.shape.events, events::kind(chunk)) {
            (Some(events), Some(kind)) => {
                meter::add_event(&mut self.passed, events.has_pieces(kind), chunk);
                self.is_done = events.is_last(kind);
            }
            _ => meter::add_chunk(&mut self.passed, chunk),
        }
        self.usage = largest(self.usage, usage_of(chunk));
        if !self.is_observed && chunk.set("error").is_some() {
            let own = disown(data);
            if own != data {
                let chunk = Node::read(&own).map_err(|_cause| StreamError::NotJson)?;
                return self.judge(&event.replaced(&own), &chunk, out);
            }
        }
        self.judge(event, chunk, out)
    }

    /// Hands on what is not held until a call in it is judged.
    fn judge(
        &mut self,
        event: &sse::Event,
        chunk: &Node<'_>,
        out: &mut Pieces,
    ) -> Result<(), StreamError> {
        let Some(gate) = &mut self.gate else {
            return self.give(event, chunk, out);
        };
        if gate.is_held() {
            place::check(chunk, self.choices)?;
            if events::kind(chunk).is_some() {
                events::check(event, chunk)?;
            }
        }
        let mut events = gate.push(event, chunk).map_err(|Unclear| StreamError::Calls)?;
        if self.is_done {
            events.extend(gate.finish().map_err(|Unclear| StreamError::Calls)?);
        }
        self.give_all(&events, out)
    }

    fn give_all(&mut self, events: &[sse::Event], out: &mut Pieces) -> Result<(), StreamError> {
        for event in events {
            let data = event.data.as_deref().unwrap_or_default();
            let chunk = Node::read(data).map_err(|_cause| StreamError::NotJson)?;
            self.give(event, &chunk, out)?;
        }
        Ok(())
    }

    /// Refuses an event that two clients would sort differently.
    fn sorted(&self, event: &sse::Event, chunk: &Node<'_>) -> Result<(), StreamError> {
        match self.shape.events {
            None => place::check(chunk, self.choices),
            Some(_) => events::check(event, chunk),
        }
    }

    /// Hands a chunk to both sides.
    fn give(
        &mut self,
        event: &sse::Event,
        chunk: &Node<'_>,
        out: &mut Pieces,
    ) -> Result<(), StreamError> {
        let data = event.data.as_deref().unwrap_or_default();
        let sorted = self.sorted(event, chunk);
        let from = out.deliver.len();
        match &mut self.deliver {
            Side::Masked(masking) => {
                sorted?;
                masking.event(event, data, chunk, &mut out.deliver)?;
            }
            _ if self.is_observed => {}
            _ => out.deliver.extend_from_slice(&event.raw),
        }
        match &mut self.keep {
            Side::Masked(masking) => {
                let kept = sorted.and_then(|()| masking.event(event, data, chunk, &mut out.keep));
                if kept.is_err() {
                    self.keep_no_more();
                }
            }
            Side::Copied => self.copy(event, from, out),
            Side::AsSent | Side::Nothing => {}
        }
        Ok(())
    }

    /// An event whose data is not the JSON of the API.
    fn unreadable(
        &mut self,
        event: &sse::Event,
        data: &[u8],
        out: &mut Pieces,
    ) -> Result<(), StreamError> {
        // SECURITY: what some reader could take for JSON may say what nobody here has read.
        let is_text = !data.iter().any(|byte| matches!(byte, b'{' | b'[' | b'"'));
        let passes = self.is_observed || !self.is_strict || is_text;
        let is_held = self.gate.as_ref().is_some_and(|gate| gate.is_held());
        if !passes || is_held || matches!(self.deliver, Side::Masked(_)) {
            return Err(StreamError::NotJson);
        }
        let raw = &event.raw;
        if !self.is_observed {
            out.deliver.extend_from_slice(raw);
        }
        self.count_unread(raw);
        match &self.keep {
            Side::Copied => out.keep.extend_from_slice(raw),
            Side::Masked(_) => self.keep_no_more(),
            Side::AsSent | Side::Nothing => {}
        }
        Ok(())
    }

    /// Bytes that cannot be read as events.
    fn pass_unread(&mut self, bytes: &[u8], out: &mut Pieces) {
        self.count_unread(bytes);
        if !self.is_observed {
            out.deliver.extend_from_slice(bytes);
        }
        match &self.keep {
            Side::Copied => out.keep.extend_from_slice(bytes),
            Side::Masked(_) => self.keep_no_more(),
            Side::AsSent | Side::Nothing => {}
        }
    }

    fn count_unread(&mut self, bytes: &[u8]) {
        self.passed.text_bytes = self.passed.text_bytes.saturating_add(bytes.len() as u64);
        self.passed.pieces = self.passed.pieces.saturating_add(1);
    }

    fn keep_no_more(&mut self) {
        self.keep = Side::Nothing;
        self.is_kept_whole = false;
    }

    /// What both sides still hold back.
    fn release(&mut self, out: &mut Pieces) -> Result<(), StreamError> {
        if let Some(gate) = &mut self.gate {
            let events = gate.finish().map_err(|Unclear| StreamError::Calls)?;
            self.give_all(&events, out)?;
        }
        let from = out.deliver.len();
        if let Side::Masked(masking) = &mut self.deliver {
            masking.release(&mut out.deliver);
        }
        match &mut self.keep {
            Side::Masked(masking) => masking.release(&mut out.keep),
            Side::Copied => {
                let released = out.deliver.get(from..).unwrap_or_default().to_vec();
                out.keep.extend_from_slice(&released);
            }
            Side::AsSent | Side::Nothing => {}
        }
        Ok(())
    }
}

/// The largest number of each kind that was reported: some APIs report them apart.
fn largest(before: Option<Usage>, now: Option<Usage>) -> Option<Usage> {
    let (Some(before), Some(now)) = (before, now) else { return before.or(now) };
    Some(Usage {
        input_tokens: before.input_tokens.max(now.input_tokens),
        output_tokens: before.output_tokens.max(now.output_tokens),
    })
}

fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}
