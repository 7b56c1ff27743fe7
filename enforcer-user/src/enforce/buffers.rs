// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory for bodies that are held whole: one bound for all exchanges together, so that no agent can make
//! the daemon run out of it. Whoever gets none is refused.

use std::sync::Arc;

use bytes::Bytes;
use enforcer_core::model::{DenyReason, Fault, limits};
use enforcer_core::record::{Cause, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Enforcer;
use super::refusal::Refusal;

/// Bytes of one permit; a semaphore counts at most 2^32 of them at once.
const PERMIT_BYTES: usize = 1024;

/// The bounds, shared by all exchanges.
#[derive(Clone, Debug)]
pub struct Buffers {
    bytes: Arc<Semaphore>,
    decoders: Arc<Semaphore>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            bytes: Arc::new(Semaphore::new(limits::BUFFERED_BYTES_MAX / PERMIT_BYTES)),
            decoders: Arc::new(Semaphore::new(limits::DECOMPRESSED_AT_ONCE_MAX)),
        }
    }
}

impl Buffers {
    /// True if a request of the largest size that is read whole has room.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.bytes.available_permits() >= limits::REQUEST_BODY_BYTES_MAX / PERMIT_BYTES
    }

    /// Waits for a place to decompress one body; the place is given back when it is dropped.
    pub(super) async fn decoder(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.decoders).acquire_owned().await.ok()
    }
}

/// Denies for want of room, and says so.
pub(super) fn denied(cx: &Enforcer) -> Refusal {
    let spent = limits::BUFFERED_BYTES_MAX / (1024 * 1024);
    cx.alarms.raise(Fault::Memory, format!("bodies that are held whole fill {spent} MiB"));
    no_memory()
}

/// The refusal for want of room.
pub(super) const fn no_memory() -> Refusal {
    Refusal::of(DenyReason::Limit, Cause::Limit { limit: Limited::Memory })
}

/// What one body holds of it; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    buffers: Buffers,
    permits: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Room {
    /// No room yet.
    pub(super) fn new(buffers: &Buffers) -> Self {
        Self { buffers: buffers.clone(), permits: None, bytes: 0 }
    }

    /// Makes room for `more` bytes beyond what is held. False if there is none left.
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let has = self.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        self.bytes = self.bytes.saturating_add(more);
        let missing = self.bytes.div_ceil(PERMIT_BYTES).saturating_sub(has);
        let Ok(missing) = u32::try_from(missing) else { return false };
        let semaphore = Arc::clone(&self.buffers.bytes);
        let Ok(permits) = semaphore.try_acquire_many_owned(missing) else { return false };
        match &mut self.permits {
            Some(held) => held.merge(permits),
            None => self.permits = Some(permits),
        }
        true
    }

    /// Ties the room to the bytes it is for: it is given back when the last of them is gone, wherever
    /// they go.
    pub(super) fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held { bytes, _room: self })
    }
}

/// Bytes and their room.
struct Held {
    bytes: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_comes_back() {
        let buffers = Buffers::default();
        let (mut first, mut second) = (Room::new(&buffers), Room::new(&buffers));
        assert!(first.grow(limits::BUFFERED_BYTES_MAX - 1));
        assert!(!second.grow(PERMIT_BYTES));
        assert!(first.grow(1));
        drop(first);
        assert!(Room::new(&buffers).grow(PERMIT_BYTES));
    }

    #[test]
    fn room_is_held_as_long_as_its_bytes() {
        let buffers = Buffers::default();
        let mut room = Room::new(&buffers);
        assert!(room.grow(limits::BUFFERED_BYTES_MAX));
        let held = room.hold(Bytes::from_static(b"whole"));
        let piece = held.slice(..1);
        drop(held);
        assert!(!Room::new(&buffers).grow(1));
        drop(piece);
        assert!(Room::new(&buffers).grow(1));
    }
}
