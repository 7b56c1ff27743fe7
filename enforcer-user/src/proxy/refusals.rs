// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the HTTP/2 carrier refuses by itself, seen from its frames: requests that never become one for us, streams
//! that it resets, connections that it gives up. Each kind is recorded once for each connection, when it first
//! happens, and once more at the end with its count.
//!
//! A request whose head came whole and that was never handed to us was refused, whatever the carrier says about it
//! and whether or not the client waits to hear. Clients that cancel what they asked leave no record here.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enforcer_core::model::{DenyReason, limits};
use enforcer_core::protocol::h2::{Frames, STREAM_MAX, Seen, code};

use super::patience::Traffic;
use crate::runtime::Watch;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Concurrency,
    Flood,
    Frames,
    HeadSize,
    Preface,
    Request,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Concurrency,
        Self::Flood,
        Self::Frames,
        Self::HeadSize,
        Self::Preface,
        Self::Request,
    ];

    const fn reason(self) -> DenyReason {
        match self {
            Self::Concurrency | Self::Flood | Self::HeadSize => DenyReason::Limit,
            Self::Frames | Self::Preface | Self::Request => DenyReason::ProtocolError,
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::Concurrency => "more HTTP/2 requests at once than are taken",
            Self::Flood => "an HTTP/2 flood of resets, settings, pings or small frames",
            Self::Frames => "HTTP/2 frames or compressed headers that are not valid",
            Self::HeadSize => "an HTTP/2 request with more bytes of headers than are taken",
            Self::Preface => "HTTP/2 was agreed on, and something else came",
            Self::Request => "an HTTP/2 request whose headers, framing or length are not valid",
        }
    }

    /// What the carrier means by giving the connection up.
    const fn of_connection(why: u32) -> Self {
        match why {
            code::ENHANCE_YOUR_CALM => Self::Flood,
            _ => Self::Frames,
        }
    }

    /// What the carrier means by resetting a stream. None where no request was refused: a client that left, an
    /// answer that broke off and whose record says so, what still came for a request that is over.
    const fn of_stream(why: u32) -> Option<Self> {
        match why {
            code::NO_ERROR | code::CANCEL | code::INTERNAL_ERROR | code::STREAM_CLOSED => None,
            code::PROTOCOL_ERROR => Some(Self::Request),
            code::REFUSED_STREAM => Some(Self::Concurrency),
            other => Some(Self::of_connection(other)),
        }
    }
}

/// Writes a refusal down.
type Tell = Box<dyn Fn(DenyReason, String) + Send + Sync>;

/// The refusals of one connection.
pub(super) struct Refusals {
    state: Mutex<State>,
    traffic: Arc<Traffic>,
    tell: Tell,
}

struct State {
    reads: Frames,
    writes: Frames,
    /// How often each kind happened.
    counts: [u64; Kind::ALL.len()],
    /// Requests whose head came whole.
    heads: u64,
    /// The last stream whose head came whole, and the last one that was settled.
    last: u32,
    settled: u32,
    /// Of the requests that were not handed to us, those that are told.
    explained: u64,
    /// Of these, those whose reset may still come.
    owed: u64,
    /// Streams that were answered by a head alone, the latest ones: the carrier answers too large heads so.
    bare: VecDeque<u32>,
    /// Whether the carrier takes no new streams any more, and says nothing about those that still come.
    is_leaving: bool,
    /// Turns of the carrier so far.
    turn: u64,
}

impl State {
    const fn new() -> Self {
        Self {
            reads: Frames::of_client(),
            writes: Frames::of_server(),
            counts: [0; Kind::ALL.len()],
            heads: 0,
            last: 0,
            settled: 0,
            explained: 0,
            owed: 0,
            bare: VecDeque::new(),
            is_leaving: false,
            turn: 0,
        }
    }

    /// Counts a refusal; hands it back when it is the first of its kind.
    fn count(&mut self, kind: Kind, times: u64) -> Option<Kind> {
        let count = self.counts.get_mut(kind as usize)?;
        let before = std::mem::replace(count, count.saturating_add(times));
        (before == 0).then_some(kind)
    }

    fn reads(&mut self, bytes: &[u8]) -> Vec<Kind> {
        let mut reads = self.reads.clone();
        let mut fresh = Vec::new();
        reads.push(bytes, |seen| match seen {
            Seen::Block { stream } if stream > self.last => {
                self.last = stream;
                self.heads += 1;
            }
            Seen::NoPreface => fresh.extend(self.count(Kind::Preface, 1)),
            _ => {}
        });
        self.reads = reads;
        fresh
    }

    fn writes(&mut self, bytes: &[u8]) -> Vec<Kind> {
        let mut writes = self.writes.clone();
        let mut fresh = Vec::new();
        writes.push(bytes, |seen| match seen {
            Seen::Headers { stream, is_last: true } => {
                if self.bare.len() >= limits::H2_STREAMS_MAX as usize {
                    self.bare.pop_front();
                }
                self.bare.push_back(stream);
            }
            Seen::Reset { stream, code } => fresh.extend(self.reset(stream, code)),
            Seen::GoAway { last, code: code::NO_ERROR } => self.is_leaving |= last < STREAM_MAX,
            Seen::GoAway { code, .. } => {
                self.is_leaving = true;
                fresh.extend(self.count(Kind::of_connection(code), 1));
            }
            _ => {}
        });
        self.writes = writes;
        fresh
    }

    fn reset(&mut self, stream: u32, why: u32) -> Option<Kind> {
        let mut kind = Kind::of_stream(why)?;
        if kind == Kind::Request && self.bare.contains(&stream) {
            kind = Kind::HeadSize;
        }
        if stream > self.settled {
            self.explained += 1;
        } else if self.owed > 0 {
            // It was told when it happened; the carrier could not write before.
            self.owed -= 1;
            return None;
        }
        self.count(kind, 1)
    }

    /// After a turn of the carrier: all heads that came were handed to us, or refused. `asked` says how many were
    /// handed to us so far.
    fn settle(&mut self, asked: u64) -> Vec<Kind> {
        let refused = self.heads.saturating_sub(asked);
        let untold = refused.saturating_sub(self.explained);
        let is_fresh = |stream: &&u32| **stream > self.settled;
        let bare = self.bare.iter().filter(is_fresh).count() as u64;
        self.explained = refused;
        self.settled = self.last;
        // After its last word the carrier drops what comes.
        if untold == 0 || self.is_leaving {
            return Vec::new();
        }
        let large = untold.min(bare);
        self.owed += untold - large;
        let kinds = [(Kind::HeadSize, large), (Kind::Request, untold - large)];
        let counted = kinds.into_iter().filter(|(_, times)| *times > 0);
        counted.filter_map(|(kind, times)| self.count(kind, times)).collect()
    }
}

impl Refusals {
    /// No refusals yet. `tell` writes one down, `traffic` says how many requests came through.
    pub(super) const fn new(traffic: Arc<Traffic>, tell: Tell) -> Self {
        Self { state: Mutex::new(State::new()), traffic, tell }
    }

    /// Who looks at the connection's bytes for this.
    pub(super) fn watch(self: &Arc<Self>) -> Onlooker {
        Onlooker(Arc::clone(self))
    }

    /// Runs the carrier, and writes down what it refuses in each turn.
    pub(super) async fn told<F: Future>(&self, mut carrier: Pin<&mut F>) -> F::Output {
        std::future::poll_fn(|cx| {
            self.state().turn += 1;
            let polled = carrier.as_mut().poll(cx);
            let fresh = self.state().settle(self.traffic.asked());
            self.tell(fresh);
            polled
        })
        .await
    }

    fn tell(&self, kinds: impl IntoIterator<Item = Kind>) {
        for kind in kinds {
            (self.tell)(kind.reason(), kind.detail().to_owned());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is valid between any two statements that hold it, so a poisoned one is too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        let counts = self.state().counts;
        for (kind, count) in Kind::ALL.into_iter().zip(counts) {
            if count > 1 {
                let detail = format!("{}: {count} times on one connection", kind.detail());
                (self.tell)(kind.reason(), detail);
            }
        }
    }
}

/// Looks at the bytes of a connection.
pub(super) struct Onlooker(Arc<Refusals>);

impl Watch for Onlooker {
    fn reads(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fresh = self.0.state().reads(bytes);
        self.0.tell(fresh);
        Ok(())
    }

    fn writes(&mut self, bytes: &[u8]) {
        let fresh = self.0.state().writes(bytes);
        self.0.tell(fresh);
    }

    fn turn(&self) -> Option<u64> {
        Some(self.0.state().turn)
    }
}

#[cfg(test)]
mod tests {
    use enforcer_core::protocol::h2::PREFACE;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// A connection on which the client sent the heads of these streams.
    fn asked(streams: &[u32]) -> State {
        let mut state = State::new();
        state.reads(PREFACE);
        for stream in streams {
            assert_eq!(state.reads(&frame(1, 5, *stream, b"block")), []);
        }
        state
    }

    fn resets(state: &mut State, stream: u32, code: u32) -> Vec<Kind> {
        state.writes(&frame(3, 0, stream, &code.to_be_bytes()))
    }

    fn counts(state: &State) -> Vec<(Kind, u64)> {
        let all = Kind::ALL.into_iter().zip(state.counts);
        all.filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn each_kind_is_at_its_place() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }

    #[test]
    fn a_request_that_was_not_handed_on_was_refused_whatever_was_written() {
        let mut state = asked(&[1, 3, 5]);
        assert_eq!(state.settle(1), [Kind::Request]);
        assert_eq!(state.settle(1), []);
        assert_eq!(counts(&state), [(Kind::Request, 2)]);
        // What the carrier says late is about the same requests.
        assert_eq!(resets(&mut state, 3, code::PROTOCOL_ERROR), []);
        assert_eq!(resets(&mut state, 5, code::PROTOCOL_ERROR), []);
        assert_eq!(counts(&state), [(Kind::Request, 2)]);
    }

    #[test]
    fn what_the_carrier_says_in_the_same_turn_names_the_kind() {
        let mut state = asked(&[1, 3, 5]);
        assert_eq!(resets(&mut state, 1, code::PROTOCOL_ERROR), [Kind::Request]);
        state.writes(&frame(1, 5, 3, b"431"));
        assert_eq!(resets(&mut state, 3, code::PROTOCOL_ERROR), [Kind::HeadSize]);
        assert_eq!(resets(&mut state, 5, code::REFUSED_STREAM), [Kind::Concurrency]);
        assert_eq!(state.settle(0), []);
        let each = [(Kind::Concurrency, 1), (Kind::HeadSize, 1), (Kind::Request, 1)];
        assert_eq!(counts(&state), each);
    }

    #[test]
    fn a_head_that_the_carrier_answered_by_itself_was_too_large() {
        let mut state = asked(&[1, 3]);
        state.writes(&frame(1, 5, 3, b"431"));
        assert_eq!(state.settle(0), [Kind::HeadSize, Kind::Request]);
        assert_eq!(counts(&state), [(Kind::HeadSize, 1), (Kind::Request, 1)]);
    }

    #[test]
    fn a_reset_of_a_request_that_was_handed_on_hides_no_later_refusal() {
        let mut state = asked(&[1, 3]);
        assert_eq!(resets(&mut state, 1, code::PROTOCOL_ERROR), [Kind::Request]);
        assert_eq!(state.settle(2), []);
        state.reads(&frame(1, 5, 5, b"block"));
        state.settle(2);
        assert_eq!(counts(&state), [(Kind::Request, 2)]);
    }

    #[test]
    fn clients_that_cancel_and_answers_that_break_are_no_refusals() {
        let mut state = asked(&[1, 3, 5, 7]);
        assert_eq!(state.settle(4), []);
        for (stream, why) in [
            (1, code::NO_ERROR),
            (3, code::CANCEL),
            (5, code::INTERNAL_ERROR),
            (7, code::STREAM_CLOSED),
        ] {
            assert_eq!(resets(&mut state, stream, why), []);
        }
        // Trailers open nothing, and after the last word nothing is refused any more.
        state.reads(&frame(1, 5, 7, b"trailers"));
        state.writes(&frame(7, 0, 0, &[0x7f, 255, 255, 255, 0, 0, 0, 0]));
        state.writes(&frame(7, 0, 0, &[0, 0, 0, 7, 0, 0, 0, 0]));
        state.reads(&frame(1, 5, 9, b"block"));
        assert_eq!(state.settle(4), []);
        assert_eq!(counts(&state), []);
    }

    #[test]
    fn a_connection_that_is_given_up_says_why() {
        for (why, kind) in [
            (code::PROTOCOL_ERROR, Kind::Frames),
            (code::ENHANCE_YOUR_CALM, Kind::Flood),
            (0x6, Kind::Frames),
        ] {
            let mut payload = vec![0, 0, 0, 1];
            payload.extend(why.to_be_bytes());
            payload.extend(b"debug");
            assert_eq!(asked(&[]).writes(&frame(7, 0, 0, &payload)), [kind]);
        }
        assert_eq!(State::new().reads(b"GET / HTTP/1.1\r\n"), [Kind::Preface]);
    }

    #[test]
    fn the_first_of_a_kind_is_told_at_once_and_the_count_at_the_end() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&told);
        let tell = move |reason: DenyReason, detail: String| {
            all.lock().unwrap().push((reason.code(), detail));
        };
        let refusals = Arc::new(Refusals::new(Arc::default(), Box::new(tell)));
        let mut watch = refusals.watch();
        for stream in [1, 3, 5] {
            watch.writes(&frame(3, 0, stream, &code::REFUSED_STREAM.to_be_bytes()));
        }
        let said = "more HTTP/2 requests at once than are taken";
        assert_eq!(*told.lock().unwrap(), [("limit", said.to_owned())]);
        drop((watch, refusals));
        let last = ("limit", format!("{said}: 3 times on one connection"));
        assert_eq!(told.lock().unwrap().last(), Some(&last));
        assert_eq!(told.lock().unwrap().len(), 2);
    }
}
