// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Streamed chat completion answers, event by event.
//!
//! An event goes on as soon as it is complete, and as sent if nothing in it changes. With a masker, what is
//! not understood ends the stream; without one, bytes pass as they come and only the usage is read.
//! How texts are followed across events is the part of [`Masking`].

use std::fmt;

use crate::mask::Masker;
use crate::model::limits::STREAM_TEXTS_MAX;
use crate::model::{Passed, Usage};
use crate::protocol::json_tree::Node;
use crate::protocol::sse;

use super::delta::Masking;
use super::response::usage_of;

/// Why a stream cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The bytes are no stream of events.
    #[error("failed to mask a stream: {0}")]
    Events(#[from] sse::Error),
    /// An event whose data is not the JSON of the API.
    #[error("failed to mask a stream: the data of an event is not valid JSON")]
    NotJson,
    /// An id or a name in pieces that have to be masked together.
    #[error("failed to mask a stream: an id or a name comes in pieces")]
    SplitName,
    /// More texts at once than can be followed.
    #[error("failed to mask a stream: more than {STREAM_TEXTS_MAX} texts at once")]
    TooManyTexts,
}

/// Relays and masks one streamed answer.
#[derive(Clone)]
pub struct ChatStream {
    masking: Option<Masking>,
    framer: sse::Framer,
    fault: Option<StreamError>,
    usage: Option<Usage>,
    pieces: u64,
    is_done: bool,
}

impl fmt::Debug for ChatStream {
    /// Without the texts: what is held back may be what must not be written anywhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ChatStream");
        shown.field("masked", &self.masked()).field("is_done", &self.is_done);
        shown.field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl ChatStream {
    /// A stream that masks, or with `None` only reads the usage.
    #[must_use]
    pub fn new(masker: Option<Masker>) -> Self {
        Self {
            masking: masker.map(Masking::new),
            framer: sse::Framer::default(),
            fault: None,
            usage: None,
            pieces: 0,
            is_done: false,
        }
    }

    /// Takes bytes from upstream and returns those that may go downstream now.
    ///
    /// # Errors
    /// When the stream cannot be understood; nothing of it may follow. Events before the fault are
    /// returned first, the error then comes with the next call.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, StreamError> {
        let mut events = Vec::new();
        if self.masking.is_none() {
            // Losing the usage of a stream that nobody has to understand is no reason to end it.
            if self.fault.is_none() {
                self.fault = self.framer.push(chunk, &mut events).err().map(StreamError::Events);
            }
            events.iter().for_each(|event| self.read(event));
            return Ok(chunk.to_vec());
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let framed = self.framer.push(chunk, &mut events);
        let mut out = Vec::new();
        let masked = events.iter().try_for_each(|event| self.mask(event, &mut out));
        self.give(masked.and(framed.map_err(StreamError::Events)), out)
    }

    /// Ends the stream and returns what was held back.
    ///
    /// # Errors
    /// As [`ChatStream::push`].
    pub fn finish(&mut self) -> Result<Vec<u8>, StreamError> {
        let last = self.framer.finish();
        if self.masking.is_none() {
            last.iter().for_each(|event| self.read(event));
            return Ok(Vec::new());
        }
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut out = Vec::new();
        if let Some(event) = last {
            self.mask(&event, &mut out)?;
            out.extend_from_slice(b"\n\n");
        }
        if let Some(masking) = &mut self.masking {
            masking.release(|_| true, &mut out);
        }
        Ok(out)
    }

    /// The tokens that the provider says it used, once it said so.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// What was seen of the answer so far.
    #[must_use]
    pub const fn passed(&self) -> Passed {
        Passed { pieces: self.pieces, text_bytes: 0 }
    }

    /// Places masked so far.
    #[must_use]
    pub fn masked(&self) -> u64 {
        self.masking.as_ref().map_or(0, Masking::count)
    }

    /// True once `[DONE]` was seen.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    fn give(
        &mut self,
        result: Result<(), StreamError>,
        out: Vec<u8>,
    ) -> Result<Vec<u8>, StreamError> {
        self.fault = result.err();
        match self.fault {
            Some(fault) if out.is_empty() => Err(fault),
            _ => Ok(out),
        }
    }

    /// Reads what matters of an event that passes as it is.
    fn read(&mut self, event: &sse::Event) {
        let Some(data) = &event.data else { return };
        self.pieces = self.pieces.saturating_add(1);
        if is_done(data) {
            self.is_done = true;
        } else if data.windows(7).any(|part| part == b"\"usage\"") {
            let usage = Node::read(data).ok().and_then(|chunk| usage_of(&chunk));
            self.usage = usage.or(self.usage);
        }
    }

    fn mask(&mut self, event: &sse::Event, out: &mut Vec<u8>) -> Result<(), StreamError> {
        let Some(masking) = &mut self.masking else { return Ok(()) };
        masking.check_lines(event)?;
        match event.data.as_deref() {
            None => out.extend_from_slice(&event.raw),
            Some(data) if data.trim_ascii().is_empty() => out.extend_from_slice(&event.raw),
            Some(data) if is_done(data) => {
                masking.release(|_| true, out);
                self.is_done = true;
                out.extend_from_slice(&event.raw);
            }
            Some(data) => {
                self.pieces = self.pieces.saturating_add(1);
                let chunk = Node::read(data).map_err(|_cause| StreamError::NotJson)?;
                self.usage = usage_of(&chunk).or(self.usage);
                masking.chunk(event, data, &chunk, out)?;
            }
        }
        Ok(())
    }
}

fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}
