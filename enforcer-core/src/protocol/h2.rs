// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Follows the frames of one direction of an HTTP/2 connection (RFC 9113 section 4.1) without reading what they
//! carry: which streams open, end and are reset, what the settings say.
//!
//! It is no second reading of a request: header blocks and content are skipped, and whatever comes, it neither
//! fails nor grows. Whether frames are valid is for the carrier to say.

/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Identifier of `SETTINGS_MAX_CONCURRENT_STREAMS` (RFC 9113 section 6.5.2).
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
/// Credit that each direction of a connection begins with, in bytes (RFC 9113 section 6.9.2).
pub const INITIAL_WINDOW_BYTES: u32 = 65_535;
/// The largest stream identifier; in a `GOAWAY` it says that the last stream is still to come.
pub const STREAM_MAX: u32 = 0x7fff_ffff;

/// Bytes of a frame's own head.
const HEAD_BYTES: u32 = 9;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Error codes (RFC 9113 section 7).
pub mod code {
    /// Nothing is wrong.
    pub const NO_ERROR: u32 = 0x0;
    /// The other end broke the protocol.
    pub const PROTOCOL_ERROR: u32 = 0x1;
    /// The end that says so failed.
    pub const INTERNAL_ERROR: u32 = 0x2;
    /// A frame came for a stream that is over.
    pub const STREAM_CLOSED: u32 = 0x5;
    /// The stream was not looked at.
    pub const REFUSED_STREAM: u32 = 0x7;
    /// The stream is not wanted any more.
    pub const CANCEL: u32 = 0x8;
    /// The other end makes too much work.
    pub const ENHANCE_YOUR_CALM: u32 = 0xb;
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The last byte of a header block.
    Block {
        /// Whose it is.
        stream: u32,
    },
    /// The head of a `DATA` frame.
    Data {
        /// Whose it is.
        stream: u32,
        /// Its bytes, padding and all: what it takes of the window.
        length: u32,
        /// Whether the sender ends the stream by it.
        is_last: bool,
    },
    /// A `GOAWAY` frame.
    GoAway {
        /// The last stream that is looked at.
        last: u32,
        /// Why; see [`code`].
        code: u32,
    },
    /// The head of a `HEADERS` frame.
    Headers {
        /// Whose it is.
        stream: u32,
        /// Whether the sender ends the stream by it.
        is_last: bool,
    },
    /// The first bytes are not [`PREFACE`]; nothing more is seen.
    NoPreface,
    /// A `RST_STREAM` frame.
    Reset {
        /// The stream that is over.
        stream: u32,
        /// Why; see [`code`].
        code: u32,
    },
    /// One setting of a `SETTINGS` frame.
    Setting {
        /// Which.
        id: u16,
        /// Its value.
        value: u32,
    },
    /// The end of a `SETTINGS` frame that is no acknowledgement.
    Settings,
    /// A `WINDOW_UPDATE` frame.
    Window {
        /// The stream, or 0 for the connection.
        stream: u32,
        /// Bytes that may be sent in addition.
        bytes: u32,
    },
}

/// The frames of one direction, in pieces of any size.
#[derive(Clone, Debug)]
pub struct Frames {
    at: At,
    /// Bytes that are read together: of a frame's head, or of a payload.
    unit: [u8; 9],
    filled: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Bytes of the preface that came.
    Preface(usize),
    Head,
    /// Inside a payload: bytes that are left, and bytes of its next unit (0: they are skipped).
    Payload {
        kind: u8,
        flags: u8,
        stream: u32,
        left: u32,
        unit: usize,
    },
    /// Not HTTP/2.
    Lost,
}

impl Frames {
    /// What a client sends: the preface first.
    #[must_use]
    pub const fn of_client() -> Self {
        Self { at: At::Preface(0), unit: [0; 9], filled: 0 }
    }

    /// What a server sends: frames alone.
    #[must_use]
    pub const fn of_server() -> Self {
        Self { at: At::Head, unit: [0; 9], filled: 0 }
    }

    /// Takes the next bytes and tells what they complete, in order.
    pub fn push(&mut self, bytes: &[u8], mut on: impl FnMut(Seen)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.at {
                At::Preface(have) => self.preface(have, rest, &mut on),
                At::Head => self.head(rest, &mut on),
                At::Payload { .. } => self.payload(rest, &mut on),
                At::Lost => return,
            };
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    fn preface(&mut self, have: usize, rest: &[u8], on: &mut impl FnMut(Seen)) -> usize {
        let wanted = PREFACE.get(have..).unwrap_or_default();
        let used = wanted.len().min(rest.len());
        if wanted.get(..used) != rest.get(..used) {
            self.at = At::Lost;
            on(Seen::NoPreface);
        } else if have + used == PREFACE.len() {
            self.at = At::Head;
        } else {
            self.at = At::Preface(have + used);
        }
        used
    }

    /// Fills the unit up to `size`; says how many bytes it took, and whether it is full.
    fn fill(&mut self, size: usize, rest: &[u8]) -> (usize, bool) {
        let free = self.unit.get_mut(self.filled..size).unwrap_or_default();
        let used = free.len().min(rest.len());
        for (to, from) in free.iter_mut().zip(rest) {
            *to = *from;
        }
        self.filled += used;
        let is_full = self.filled >= size;
        if is_full {
            self.filled = 0;
        }
        (used, is_full)
    }

    fn head(&mut self, rest: &[u8], on: &mut impl FnMut(Seen)) -> usize {
        let (used, is_full) = self.fill(HEAD_BYTES as usize, rest);
        if !is_full {
            return used;
        }
        let [a, b, c, kind, flags, id @ ..] = self.unit;
        let left = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes(id) & STREAM_MAX;
        let is_last = flags & END_STREAM != 0;
        let unit = match kind {
            DATA => {
                on(Seen::Data { stream, length: left, is_last });
                0
            }
            HEADERS => {
                on(Seen::Headers { stream, is_last });
                0
            }
            RST_STREAM | WINDOW_UPDATE => 4,
            SETTINGS if flags & ACK == 0 => 6,
            GOAWAY => 8,
            _ => 0,
        };
        self.at = At::Payload { kind, flags, stream, left, unit };
        if left == 0 {
            self.over(kind, flags, stream, on);
        }
        used
    }

    fn payload(&mut self, rest: &[u8], on: &mut impl FnMut(Seen)) -> usize {
        let At::Payload { kind, flags, stream, left, unit } = self.at else { return rest.len() };
        let here = rest.len().min(left as usize);
        let (used, is_full) = match unit {
            0 => (here, false),
            size => self.fill(size, rest.get(..here).unwrap_or_default()),
        };
        let mut unit = unit;
        if is_full {
            on(self.unit_of(kind, stream));
            if kind != SETTINGS {
                // Whatever follows in the same frame is debug data, or not valid.
                unit = 0;
            }
        }
        let left = left.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
        self.at = At::Payload { kind, flags, stream, left, unit };
        if left == 0 {
            self.over(kind, flags, stream, on);
        }
        used
    }

    fn unit_of(&self, kind: u8, stream: u32) -> Seen {
        let [a, b, c, d, e, f, g, h, _] = self.unit;
        let first = u32::from_be_bytes([a, b, c, d]);
        match kind {
            RST_STREAM => Seen::Reset { stream, code: first },
            GOAWAY => {
                let code = u32::from_be_bytes([e, f, g, h]);
                Seen::GoAway { last: first & STREAM_MAX, code }
            }
            WINDOW_UPDATE => Seen::Window { stream, bytes: first & STREAM_MAX },
            _ => {
                let value = u32::from_be_bytes([c, d, e, f]);
                Seen::Setting { id: u16::from_be_bytes([a, b]), value }
            }
        }
    }

    fn over(&mut self, kind: u8, flags: u8, stream: u32, on: &mut impl FnMut(Seen)) {
        self.at = At::Head;
        self.filled = 0;
        match kind {
            HEADERS | CONTINUATION if flags & END_HEADERS != 0 => on(Seen::Block { stream }),
            SETTINGS if flags & ACK == 0 => on(Seen::Settings),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn seen(frames: &mut Frames, pieces: &[&[u8]]) -> Vec<Seen> {
        let mut all = Vec::new();
        for piece in pieces {
            frames.push(piece, |one| all.push(one));
        }
        all
    }

    #[test]
    fn what_matters_is_told_in_order_and_the_rest_is_skipped() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 2, 0, 4, 0, 1, 0, 0]));
        bytes.extend(frame(SETTINGS, ACK, 0, &[]));
        bytes.extend(frame(WINDOW_UPDATE, 0, 0, &[0x80, 0, 1, 0]));
        bytes.extend(frame(HEADERS, END_STREAM, 0x8000_0001, b"block"));
        bytes.extend(frame(CONTINUATION, END_HEADERS, 1, b"more"));
        bytes.extend(frame(6, 0, 0, &[0; 8]));
        bytes.extend(frame(DATA, 0, 3, b"content"));
        bytes.extend(frame(DATA, END_STREAM, 3, b""));
        bytes.extend(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
        bytes.extend(frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\x0bdebug"));
        assert_eq!(
            seen(&mut Frames::of_client(), &[&bytes]),
            [
                Seen::Setting { id: 3, value: 2 },
                Seen::Setting { id: 4, value: 65_536 },
                Seen::Settings,
                Seen::Window { stream: 0, bytes: 256 },
                Seen::Headers { stream: 1, is_last: true },
                Seen::Block { stream: 1 },
                Seen::Data { stream: 3, length: 7, is_last: false },
                Seen::Data { stream: 3, length: 0, is_last: true },
                Seen::Reset { stream: 1, code: code::CANCEL },
                Seen::GoAway { last: STREAM_MAX, code: code::ENHANCE_YOUR_CALM },
            ]
        );
    }

    #[test]
    fn frames_of_a_wrong_size_do_not_shift_what_follows() {
        let mut bytes = frame(RST_STREAM, 0, 1, &[0, 0]);
        bytes.extend(frame(SETTINGS, 0, 0, &[0, 3, 0]));
        bytes.extend(frame(GOAWAY, 0, 0, &[0; 3]));
        bytes.extend(frame(WINDOW_UPDATE, 0, 7, &[0, 0, 0, 9, 1, 1, 1, 1]));
        bytes.extend(frame(RST_STREAM, 0, 5, &[0, 0, 0, 1]));
        assert_eq!(
            seen(&mut Frames::of_server(), &[&bytes]),
            [
                Seen::Settings,
                Seen::Window { stream: 7, bytes: 9 },
                Seen::Reset { stream: 5, code: code::PROTOCOL_ERROR },
            ]
        );
    }

    #[test]
    fn what_does_not_begin_as_http2_is_told_once() {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"] {
            let pieces: Vec<_> = bytes.chunks(1).collect();
            assert_eq!(seen(&mut Frames::of_client(), &pieces), [Seen::NoPreface]);
        }
        assert_eq!(seen(&mut Frames::of_client(), &[&PREFACE[..20]]), []);
    }

    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let payload = prop::collection::vec(any::<u8>(), 0..20);
        let one = (0_u8..11, any::<u8>(), any::<u32>(), payload)
            .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload));
        prop::collection::vec(one, 0..12).prop_map(|all| all.concat())
    }

    proptest! {
        #[test]
        fn every_chunking_shows_the_same(
            bytes in frames(),
            is_client in any::<bool>(),
            cuts in prop::collection::vec(0_usize..40, 0..60),
        ) {
            let (mut whole, mut bytes) = (Frames::of_server(), bytes);
            if is_client {
                whole = Frames::of_client();
                bytes.splice(0..0, PREFACE.iter().copied());
            }
            let mut parts = whole.clone();
            let mut pieces = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(seen(&mut whole, &[&bytes]), seen(&mut parts, &pieces));
        }

        #[test]
        fn no_bytes_make_it_fail(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            seen(&mut Frames::of_server(), &[&bytes]);
            seen(&mut Frames::of_client(), &[PREFACE, &bytes]);
        }
    }
}
