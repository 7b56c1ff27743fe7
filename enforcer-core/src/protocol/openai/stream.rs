// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Streamed chat completion answers, event by event.

use crate::mask::Masker;
use crate::model::Usage;

/// Why a stream cannot be passed on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// An event whose data is not the JSON of the API.
    #[error("failed to mask a stream: the data of an event is not JSON")]
    NotJson,
}

/// Relays and masks one streamed answer.
#[derive(Debug)]
pub struct ChatStream {}

impl ChatStream {
    /// A stream that masks, or with `None` only reads the usage.
    #[must_use]
    pub fn new(_masker: Option<Masker>) -> Self {
        Self {}
    }

    /// Takes bytes from upstream and returns those that may go downstream now.
    ///
    /// # Errors
    /// When the stream cannot be understood; nothing of it may follow.
    pub fn push(&mut self, _chunk: &[u8]) -> Result<Vec<u8>, StreamError> {
        Err(StreamError::NotJson)
    }

    /// Ends the stream and returns what was held back.
    ///
    /// # Errors
    /// As [`ChatStream::push`].
    pub fn finish(&mut self) -> Result<Vec<u8>, StreamError> {
        Err(StreamError::NotJson)
    }

    /// The tokens that the provider says it used, once it said so.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        None
    }

    /// Places masked so far.
    #[must_use]
    pub fn masked(&self) -> u64 {
        0
    }

    /// True once `[DONE]` was seen.
    #[must_use]
    pub fn is_done(&self) -> bool {
        false
    }
}
