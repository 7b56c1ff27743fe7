// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many exchanges an upstream HTTP/2 connection takes, counted from its frames: what the server allows, and
//! what is open as the server sees it.
//!
//! The carrier would hold back a request beyond the server's limit until another one is over; so none is handed to
//! it. What is not known counts as open: an error on that side costs a connection, on the other side an agent
//! would wait for another.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enforcer_core::model::limits;
use enforcer_core::protocol::h2::{Frames, INITIAL_WINDOW_BYTES, MAX_CONCURRENT_STREAMS, Seen};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::error::FLOODED;
use crate::runtime::Watch;

/// What one connection carries.
#[derive(Clone)]
pub(super) struct Streams(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// What the server allows has changed, or it allows nothing any more.
    changed: Notify,
}

struct State {
    /// Streams at once that the server allows (RFC 9113 section 5.1.2); unknown before its first settings.
    limit: Option<u32>,
    /// Settings that are not whole yet.
    next_limit: Option<u32>,
    /// Whether it takes no new stream any more.
    is_leaving: bool,
    /// Bytes of content that the server still takes, over all streams.
    window: i64,
    /// Exchanges that hold a slot.
    slots: usize,
    /// Of these, those whose request was not handed to the carrier yet.
    reserved: usize,
    /// Requests that were handed to the carrier, in this order, and whose stream was not seen yet.
    pending: VecDeque<u64>,
    next: u64,
    /// Streams that are not over.
    open: BTreeMap<u32, Stream>,
    /// The last stream that was opened.
    last: u32,
}

/// One open stream.
#[derive(Clone, Copy, Default)]
struct Stream {
    is_sent: bool,
    is_received: bool,
    /// Heads that came and did not end it: interim answers, and one answer.
    heads: u32,
}

impl Default for Streams {
    fn default() -> Self {
        let state = State {
            limit: None,
            next_limit: None,
            is_leaving: false,
            window: i64::from(INITIAL_WINDOW_BYTES),
            slots: 0,
            reserved: 0,
            pending: VecDeque::new(),
            next: 0,
            open: BTreeMap::new(),
            last: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }))
    }
}

impl Streams {
    /// A place for one exchange, if the connection has one now.
    pub(super) fn reserve(&self) -> Option<Slot> {
        let mut state = self.state();
        if !state.has_room() {
            return None;
        }
        state.slots += 1;
        state.reserved += 1;
        drop(state);
        Some(Slot { streams: self.clone(), stage: Stage::Reserved })
    }

    /// The first place of a connection, as soon as the server has said that there is one. None when the connection
    /// ended before.
    pub(super) async fn first(&self) -> Option<Slot> {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            if let Some(slot) = self.reserve() {
                return Some(slot);
            }
            if self.is_leaving() {
                return None;
            }
            changed.await;
        }
    }

    /// Whether the connection takes no new exchange, now or later.
    pub(super) fn is_leaving(&self) -> bool {
        self.state().is_leaving
    }

    /// Whether no exchange is on it.
    pub(super) fn is_idle(&self) -> bool {
        self.state().slots == 0
    }

    /// Who looks at the connection's bytes for this; holds `permit` for as long as the connection lives.
    pub(super) fn watch(&self, permit: OwnedSemaphorePermit) -> Observer {
        let (reads, writes) = (Frames::of_server(), Frames::of_client());
        Observer { streams: self.clone(), reads, writes, _permit: permit }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is valid between any two statements that hold it, so a poisoned one is too.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self) -> bool {
        let Some(limit) = self.limit else { return false };
        let ours = limits::UPSTREAM_STREAMS_MAX;
        let limit = limit.min(ours) as usize;
        let used = self.reserved + self.pending.len() + self.open.len();
        // An answer that nobody reads holds its part of the connection's window even when its stream is over.
        let is_read = self.slots < ours as usize;
        // A server that takes no content of one request would keep another one waiting.
        !self.is_leaving && is_read && used < limit && self.window > 0
    }

    /// Something came from the server. True if it changes what the server allows.
    fn reads(&mut self, seen: Seen) -> bool {
        match seen {
            Seen::Setting { id: MAX_CONCURRENT_STREAMS, value } => self.next_limit = Some(value),
            Seen::Settings => {
                // RFC 9113 section 6.5.2: no limit, unless it says one.
                let before = self.limit.unwrap_or(u32::MAX);
                self.limit = Some(self.next_limit.take().unwrap_or(before));
                return true;
            }
            Seen::GoAway { .. } => {
                self.is_leaving = true;
                return true;
            }
            Seen::Window { stream: 0, bytes } => {
                self.window = self.window.saturating_add(i64::from(bytes));
                return true;
            }
            Seen::Headers { stream, is_last } => {
                if let Some(open) = self.open.get_mut(&stream) {
                    open.heads = open.heads.saturating_add(1);
                }
                self.received(stream, is_last);
            }
            Seen::Data { stream, is_last, .. } => self.received(stream, is_last),
            Seen::Reset { stream, .. } => drop(self.open.remove(&stream)),
            Seen::Block { .. } | Seen::NoPreface | Seen::Setting { .. } | Seen::Window { .. } => {}
        }
        false
    }

    fn received(&mut self, stream: u32, is_last: bool) {
        if let Some(open) = self.open.get_mut(&stream) {
            open.is_received |= is_last;
            if open.is_received && open.is_sent {
                self.open.remove(&stream);
            }
        }
    }

    /// Something goes to the server.
    fn writes(&mut self, seen: Seen) {
        match seen {
            Seen::Headers { stream, is_last } => {
                if stream > self.last {
                    self.last = stream;
                    self.pending.pop_front();
                    self.open.insert(stream, Stream::default());
                }
                self.sent(stream, is_last);
            }
            Seen::Data { stream, length, is_last } => {
                self.window = self.window.saturating_sub(i64::from(length));
                self.sent(stream, is_last);
            }
            Seen::Reset { stream, .. } => drop(self.open.remove(&stream)),
            Seen::GoAway { .. } => self.is_leaving = true,
            Seen::Block { .. }
            | Seen::NoPreface
            | Seen::Setting { .. }
            | Seen::Settings
            | Seen::Window { .. } => {}
        }
    }

    fn sent(&mut self, stream: u32, is_last: bool) {
        if let Some(open) = self.open.get_mut(&stream) {
            open.is_sent |= is_last;
            if open.is_received && open.is_sent {
                self.open.remove(&stream);
            }
        }
    }

    /// Whether a stream got more heads than an answer can have. The last one may be trailers.
    fn is_flooded(&self) -> bool {
        self.open.values().any(|open| open.heads > limits::UPSTREAM_INTERIM_MAX + 2)
    }
}

/// The place of one exchange.
pub(super) struct Slot {
    streams: Streams,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Reserved,
    /// The carrier has the request; its number.
    Dispatched(u64),
    /// Its stream is counted, or there never was one.
    Settled,
}

impl Slot {
    /// Hands the request to the carrier by `put`. Nobody else does meanwhile: streams open in this order.
    pub(super) fn dispatch<T>(&mut self, put: impl FnOnce() -> T) -> T {
        let mut state = self.streams.state();
        if matches!(self.stage, Stage::Reserved) {
            let number = state.next;
            state.next += 1;
            state.reserved -= 1;
            state.pending.push_back(number);
            self.stage = Stage::Dispatched(number);
        }
        put()
    }

    /// The answer came: the stream of the request was opened, and those before it were, or never will be.
    pub(super) fn answered(&mut self) {
        self.settle(|number, own| number > own);
    }

    /// The carrier gave the request back.
    pub(super) fn unsent(&mut self) {
        self.settle(|number, own| number != own);
    }

    fn settle(&mut self, stays: impl Fn(u64, u64) -> bool) {
        if let Stage::Dispatched(own) = self.stage {
            self.streams.state().pending.retain(|number| stays(*number, own));
            self.stage = Stage::Settled;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.streams.state();
        state.slots -= 1;
        // One that was handed over and then left may open a stream yet: it counts until a later one is answered.
        if matches!(self.stage, Stage::Reserved) {
            state.reserved -= 1;
        }
    }
}

/// Counts from the bytes of a connection.
pub(super) struct Observer {
    streams: Streams,
    reads: Frames,
    writes: Frames,
    _permit: OwnedSemaphorePermit,
}

impl Watch for Observer {
    fn reads(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.streams.state();
        let (mut is_changed, mut has_head) = (false, false);
        self.reads.push(bytes, |seen| {
            has_head |= matches!(seen, Seen::Headers { .. });
            is_changed |= state.reads(seen);
        });
        let is_flooded = has_head && state.is_flooded();
        drop(state);
        if is_changed {
            self.streams.0.changed.notify_waiters();
        }
        if is_flooded {
            let why = "more interim answers than are taken";
            return Err(io::Error::new(FLOODED, why));
        }
        Ok(())
    }

    fn writes(&mut self, bytes: &[u8]) {
        let mut state = self.streams.state();
        self.writes.push(bytes, |seen| state.writes(seen));
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.streams.state().is_leaving = true;
        self.streams.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Seen = Seen::Setting { id: MAX_CONCURRENT_STREAMS, value: 2 };

    fn allowing(limit: Option<u32>) -> Streams {
        let streams = Streams::default();
        reads(&streams, limit.map(|value| Seen::Setting { id: 3, value }));
        reads(&streams, [Seen::Settings]);
        streams
    }

    fn reads(streams: &Streams, seen: impl IntoIterator<Item = Seen>) {
        for one in seen {
            streams.state().reads(one);
        }
    }

    fn writes(streams: &Streams, seen: Seen) {
        streams.state().writes(seen);
    }

    fn room(streams: &Streams) -> usize {
        std::iter::from_fn(|| streams.reserve()).collect::<Vec<_>>().len()
    }

    const fn opens(stream: u32, is_last: bool) -> Seen {
        Seen::Headers { stream, is_last }
    }

    const fn data(stream: u32, is_last: bool) -> Seen {
        Seen::Data { stream, length: 1, is_last }
    }

    #[test]
    fn nothing_is_sent_before_the_server_has_said_how_much_it_takes() {
        let streams = Streams::default();
        assert_eq!(room(&streams), 0);
        reads(&streams, [MAX]);
        assert_eq!(room(&streams), 0, "the frame is not whole");
        reads(&streams, [Seen::Settings]);
        assert_eq!(room(&streams), 2);
    }

    #[test]
    fn the_smaller_of_both_limits_counts_and_the_last_one_said() {
        let ours = limits::UPSTREAM_STREAMS_MAX as usize;
        for (limit, expect) in [(None, ours), (Some(u32::MAX), ours), (Some(0), 0), (Some(1), 1)] {
            assert_eq!(room(&allowing(limit)), expect);
        }
        let streams = allowing(Some(3));
        reads(&streams, [Seen::Settings]);
        assert_eq!(room(&streams), 3, "what is not said again stays");
        reads(&streams, [Seen::Setting { id: 3, value: 5 }, MAX, Seen::Settings]);
        assert_eq!(room(&streams), 2);
        let held = (streams.reserve(), streams.reserve());
        reads(&streams, [Seen::Setting { id: 3, value: 1 }, Seen::Settings]);
        assert_eq!(room(&streams), 0, "lowered below what runs");
        drop(held);
        assert_eq!(room(&streams), 1);
    }

    #[test]
    fn a_slot_is_free_when_the_stream_is_over_and_not_before() {
        for end in [0, 1, 2] {
            let streams = allowing(Some(1));
            let mut slot = streams.reserve().unwrap();
            slot.dispatch(|| ());
            writes(&streams, opens(1, false));
            slot.answered();
            drop(slot);
            reads(&streams, [opens(1, true)]);
            assert_eq!(room(&streams), 0, "the request is not over");
            match end {
                0 => writes(&streams, data(1, true)),
                1 => writes(&streams, Seen::Reset { stream: 1, code: 8 }),
                _ => reads(&streams, [Seen::Reset { stream: 1, code: 8 }]),
            }
            assert_eq!(room(&streams), 1);
        }
    }

    #[test]
    fn an_answer_that_nobody_reads_holds_its_slot() {
        let streams = allowing(None);
        let mut held = Vec::new();
        for number in 0..limits::UPSTREAM_STREAMS_MAX {
            let mut slot = streams.reserve().unwrap();
            slot.dispatch(|| ());
            writes(&streams, opens(2 * number + 1, true));
            reads(&streams, [data(2 * number + 1, true)]);
            held.push(slot);
        }
        assert!(streams.state().open.is_empty());
        assert_eq!(room(&streams), 0);
        held.pop();
        assert_eq!(room(&streams), 1);
    }

    #[test]
    fn who_left_before_its_stream_was_seen_counts_until_a_later_one_is_answered() {
        let streams = allowing(Some(2));
        let mut gone = streams.reserve().unwrap();
        gone.dispatch(|| ());
        drop(gone);
        assert_eq!(room(&streams), 1);
        let mut next = streams.reserve().unwrap();
        next.dispatch(|| ());
        assert_eq!(room(&streams), 0);
        writes(&streams, opens(1, true));
        assert_eq!(room(&streams), 0, "whichever of them it was");
        reads(&streams, [opens(1, true)]);
        next.answered();
        drop(next);
        assert_eq!(room(&streams), 2);
    }

    #[test]
    fn a_request_that_was_given_back_or_never_handed_over_leaves_nothing() {
        let streams = allowing(Some(1));
        let mut slot = streams.reserve().unwrap();
        slot.dispatch(|| ());
        slot.unsent();
        drop(slot);
        drop(streams.reserve().unwrap());
        assert_eq!(room(&streams), 1);
        assert!(streams.is_idle());
    }

    #[test]
    fn a_connection_that_goes_away_or_takes_no_content_gets_no_more_exchanges() {
        let streams = allowing(None);
        writes(&streams, Seen::Data { stream: 1, length: INITIAL_WINDOW_BYTES, is_last: false });
        assert_eq!(room(&streams), 0);
        reads(&streams, [Seen::Window { stream: 1, bytes: 9 }]);
        assert_eq!(room(&streams), 0, "another window");
        reads(&streams, [Seen::Window { stream: 0, bytes: 9 }]);
        assert_ne!(room(&streams), 0);
        reads(&streams, [Seen::GoAway { last: 1, code: 0 }]);
        assert_eq!(room(&streams), 0);
        assert!(streams.is_leaving());
    }
}
