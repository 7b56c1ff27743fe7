// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The texts of a stream that is masked, in whichever form its events come.

use crate::mask::Masker;
use crate::protocol::json_tree::Node;
use crate::protocol::sse;

use super::error::StreamError;
use super::shape::Shape;
use super::{chunks, events};

/// The texts of a stream that is masked.
#[derive(Clone)]
pub(super) enum Masking {
    Chunks(chunks::Masking),
    Events(events::Masking),
}

impl Masking {
    pub(super) fn new(shape: &'static Shape, masker: Masker) -> Self {
        match shape.events {
            None => Self::Chunks(chunks::Masking::new(shape.tables, masker)),
            Some(events) => Self::Events(events::Masking::new(shape.tables, events, masker)),
        }
    }

    /// Places masked so far.
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Chunks(masking) => masking.count(),
            Self::Events(masking) => masking.count(),
        }
    }

    /// Masks one event.
    pub(super) fn event(
        &mut self,
        event: &sse::Event,
        data: &[u8],
        node: &Node<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        match self {
            Self::Chunks(masking) => masking.chunk(event, data, node, out),
            Self::Events(masking) => masking.event(event, data, node, out),
        }
    }

    /// Ends all texts and gives out what they held back.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Chunks(masking) => masking.release(|_| true, out),
            Self::Events(masking) => masking.release(out),
        }
    }
}
