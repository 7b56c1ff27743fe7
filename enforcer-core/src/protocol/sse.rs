// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Server-Sent Events (WHATWG HTML section 9.2), framed without losing a byte.
//!
//! The `raw` of all events together is the input, whatever the chunks it came in, and an event is given out
//! with the byte that completes it. Lines end by CR, LF or CRLF. Only after a line that ended by CR alone
//! is a CR taken for the end of an event without waiting for an LF: nobody mixes them, and waiting
//! would delay every event of such a stream. Bounded by [`SSE_EVENT_BYTES_MAX`]. Does not look into data.

use std::mem;

use crate::model::limits::SSE_EVENT_BYTES_MAX;

/// Names of events that APIs use; another one may be a text.
const EVENT_NAMES: [&[u8]; 5] = [b"message", b"error", b"ping", b"done", b"completion"];
/// Digits of a time to wait before a new connection, in milliseconds.
const RETRY_DIGITS_MAX: usize = 8;

/// A byte order mark, which may stand before a stream and is no part of it.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event, or one comment, with its blank line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The bytes as sent.
    pub raw: Vec<u8>,
    /// The values of the `data` lines, joined by LF; `None` if there is no such line.
    pub data: Option<Vec<u8>>,
    /// The value of the last `event` line.
    pub name: Option<Vec<u8>>,
    /// The value of the last `id` line without a NUL.
    pub id: Option<Vec<u8>>,
    /// The value of the last `retry` line that is a number, in milliseconds.
    pub retry_ms: Option<u64>,
    /// True if `raw` begins with a mark that belongs to no line.
    has_bom: bool,
}

impl Event {
    fn read(raw: Vec<u8>, is_first: bool) -> Self {
        let has_bom = is_first && raw.starts_with(BOM);
        let mut event = Self { has_bom, ..Self::default() };
        Lines::new(raw.get(event.mark_bytes()..).unwrap_or_default())
            .for_each(|line| event.read_line(line.text));
        event.raw = raw;
        event
    }

    /// An event that is made up, with this data, which has no line ends, and a name if some is given.
    #[must_use]
    pub fn made(name: Option<&str>, data: &str) -> Self {
        let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
        Self::read(format!("{name}data: {data}\n\n").into_bytes(), false)
    }

    /// The event with other data; see [`Self::with_data`].
    #[must_use]
    pub fn replaced(&self, data: &[u8]) -> Self {
        Self::read(self.with_data(data), false)
    }

    const fn mark_bytes(&self) -> usize {
        if self.has_bom { BOM.len() } else { 0 }
    }

    fn lines(&self) -> Lines<'_> {
        Lines::new(self.raw.get(self.mark_bytes()..).unwrap_or_default())
    }

    fn read_line(&mut self, line: &[u8]) {
        let (field, value) = field(line);
        match field {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            },
            b"event" => self.name = Some(value.to_vec()),
            b"id" if !value.contains(&0) => self.id = Some(value.to_vec()),
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let number = str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                self.retry_ms = number.or(self.retry_ms);
            }
            _ => {}
        }
    }

    /// The bytes of the event with other data; everything else stays as sent, but for a byte order mark
    /// before the stream: with it the name of the first line would not be one for every reader.
    #[must_use]
    pub fn with_data(&self, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.raw.len());
        let mut data = Some(data);
        for line in self.lines() {
            if field(line.text).0 != b"data" {
                bytes.extend_from_slice(line.text);
                bytes.extend_from_slice(line.end);
                continue;
            }
            // The new data takes the place of the first line; the lines after it go.
            for value in data.take().into_iter().flat_map(|data| data.split(|byte| *byte == b'\n'))
            {
                bytes.extend_from_slice(b"data: ");
                bytes.extend_from_slice(value);
                bytes.extend_from_slice(if line.end.is_empty() { b"\n" } else { line.end });
            }
        }
        bytes
    }

    /// The event without any text of its sender beside the data, and with other data if some is given:
    /// comments are empty, ids are left out, names are `known` or those that APIs use. The bytes as sent if that
    /// changes nothing.
    #[must_use]
    pub fn without_texts(&self, data: Option<&[u8]>, known: Option<&str>) -> Vec<u8> {
        let known = known.map(str::as_bytes);
        let bytes = data.map_or_else(|| self.raw.clone(), |data| self.with_data(data));
        let mark = if bytes.starts_with(BOM) && self.has_bom { BOM.len() } else { 0 };
        let mut clean = Vec::with_capacity(bytes.len());
        for line in Lines::new(bytes.get(mark..).unwrap_or_default()) {
            let (name, value) = field(line.text);
            let text = match name {
                b"data" => line.text,
                b"" if line.text.is_empty() => line.text,
                b"" => b":",
                b"event" if EVENT_NAMES.contains(&value) || known == Some(value) => line.text,
                b"retry"
                    if value.len() <= RETRY_DIGITS_MAX && value.iter().all(u8::is_ascii_digit) =>
                {
                    line.text
                }
                _ => continue,
            };
            clean.extend_from_slice(text);
            clean.extend_from_slice(line.end);
        }
        if bytes.get(mark..) == Some(clean.as_slice()) { bytes } else { clean }
    }
}

/// Name and value of a line; a comment has an empty name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return (line, b"") };
    let (name, rest) = line.split_at_checked(colon).unwrap_or((line, b""));
    let value = rest.strip_prefix(b":").unwrap_or(rest);
    (name, value.strip_prefix(b" ").unwrap_or(value))
}

struct Line<'r> {
    text: &'r [u8],
    end: &'r [u8],
}

/// The lines of a complete event.
struct Lines<'r> {
    rest: &'r [u8],
}

impl<'r> Lines<'r> {
    fn new(raw: &'r [u8]) -> Self {
        Self { rest: raw }
    }
}

impl<'r> Iterator for Lines<'r> {
    type Item = Line<'r>;

    fn next(&mut self) -> Option<Line<'r>> {
        if self.rest.is_empty() {
            return None;
        }
        let length = self.rest.iter().position(|byte| is_line_end(*byte));
        let (text, rest) = self.rest.split_at_checked(length.unwrap_or(self.rest.len()))?;
        let end = match rest {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        let (end, rest) = rest.split_at_checked(end)?;
        self.rest = rest;
        Some(Line { text, end })
    }
}

fn is_line_end(byte: u8) -> bool {
    byte == b'\r' || byte == b'\n'
}

/// Why a stream cannot be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An event is larger than the limit.
    #[error(
        "failed to frame a stream of events: an event is larger than {SSE_EVENT_BYTES_MAX} bytes"
    )]
    TooLarge,
}

/// Cuts a stream of bytes into events.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    /// The event that is not complete.
    pending: Vec<u8>,
    /// Where its last line begins.
    line: usize,
    /// Up to where there is no line end in that line.
    scanned: usize,
    /// True if the line before ended by CR alone.
    is_after_cr: bool,
    /// True once an event was given out.
    is_begun: bool,
}

impl Framer {
    /// Takes the next bytes and adds the events that they complete.
    ///
    /// # Errors
    /// When an event is larger than the limit; the events before it were added.
    pub fn push(&mut self, chunk: &[u8], events: &mut Vec<Event>) -> Result<(), Error> {
        self.pending.extend_from_slice(chunk);
        // What was given out is taken off once, so that many small events in a chunk cost no more.
        let mut start = 0;
        while let Some((text_end, line_end)) = self.next_line() {
            let is_blank = text_end == self.line;
            self.is_after_cr =
                line_end == text_end + 1 && self.pending.get(text_end) == Some(&b'\r');
            (self.line, self.scanned) = (line_end, line_end);
            if line_end - start > SSE_EVENT_BYTES_MAX {
                return Err(Error::TooLarge);
            }
            if is_blank {
                let raw = self.pending.get(start..line_end).unwrap_or_default().to_vec();
                events.push(Event::read(raw, !mem::replace(&mut self.is_begun, true)));
                self.is_after_cr = false;
                start = line_end;
            }
        }
        self.pending.drain(..start);
        self.line -= start;
        self.scanned -= start;
        if self.pending.len() > SSE_EVENT_BYTES_MAX { Err(Error::TooLarge) } else { Ok(()) }
    }

    /// Where the text of the next complete line ends, and where the line ends.
    fn next_line(&mut self) -> Option<(usize, usize)> {
        let rest = self.pending.get(self.scanned..)?;
        let Some(length) = rest.iter().position(|byte| is_line_end(*byte)) else {
            self.scanned = self.pending.len();
            return None;
        };
        let at = self.scanned + length;
        self.scanned = at;
        let is_blank = at == self.line;
        match (rest.get(length)?, rest.get(length + 1)) {
            (b'\n', _) => Some((at, at + 1)),
            (_, _) if is_blank && self.is_after_cr => Some((at, at + 1)),
            (_, None) => None,
            (_, Some(b'\n')) => Some((at, at + 2)),
            (_, Some(_)) => Some((at, at + 1)),
        }
    }

    /// Bytes that wait for the end of their event.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Ends the stream; returns what is left as an event without its blank line.
    pub fn finish(&mut self) -> Option<Event> {
        let raw = mem::take(&mut self.pending);
        let is_first = !mem::replace(&mut self.is_begun, true);
        (self.line, self.scanned, self.is_after_cr) = (0, 0, false);
        (!raw.is_empty()).then(|| Event::read(raw, is_first))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(chunks: &[&[u8]]) -> Vec<Event> {
        let mut framer = Framer::default();
        let mut events = Vec::new();
        for chunk in chunks {
            framer.push(chunk, &mut events).unwrap();
        }
        events.extend(framer.finish());
        events
    }

    fn check(input: &str, expect: &[(&str, Option<&str>)]) {
        let events = frame(&[input.as_bytes()]);
        let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
        let found: Vec<_> =
            events.iter().map(|it| (text(&it.raw), it.data.as_ref().map(text))).collect();
        let expect: Vec<_> = expect
            .iter()
            .map(|(raw, data)| ((*raw).to_owned(), data.map(ToOwned::to_owned)))
            .collect();
        assert_eq!(found, expect, "{input:?}");
    }

    #[test]
    fn lines_end_in_three_ways() {
        check("data: a\n\ndata:b\n\n", &[("data: a\n\n", Some("a")), ("data:b\n\n", Some("b"))]);
        check("data: a\r\n\r\nx", &[("data: a\r\n\r\n", Some("a")), ("x", None)]);
        check("data: a\r\rdata: b\r\r", &[("data: a\r\r", Some("a")), ("data: b\r\r", Some("b"))]);
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        check(
            "data\ndata:  a\ndata:b:c\n\n",
            &[("data\ndata:  a\ndata:b:c\n\n", Some("\n a\nb:c"))],
        );
        check(": ping\n\n", &[(": ping\n\n", None)]);
        check("\u{feff}data: a\n\n", &[("\u{feff}data: a\n\n", Some("a"))]);
        let events = frame(&[b"event: x\nid: 7\nid: a\0b\nretry: 12\nretry: x\ndata: y\n\n"]);
        let event = events.first().unwrap();
        assert_eq!(event.name.as_deref(), Some(b"x".as_slice()));
        assert_eq!(event.id.as_deref(), Some(b"7".as_slice()));
        assert_eq!(event.retry_ms, Some(12));
    }

    #[test]
    fn an_event_comes_with_the_byte_that_completes_it() {
        for input in ["data: a\n\n", "data: a\r\n\r\n", "data: a\r\r"] {
            let mut framer = Framer::default();
            let mut events = Vec::new();
            let (last, before) = input.as_bytes().split_last().unwrap();
            framer.push(before, &mut events).unwrap();
            assert!(events.is_empty(), "{input:?}");
            framer.push(&[*last], &mut events).unwrap();
            assert_eq!(events.len(), 1, "{input:?}");
        }
    }

    #[test]
    fn other_data_keeps_the_rest_of_the_event() {
        let events = frame(&[b"event: x\r\ndata: a\r\ndata: b\r\nid: 1\r\n\r\n"]);
        let bytes = events.first().unwrap().with_data(b"c\nd");
        assert_eq!(bytes, b"event: x\r\ndata: c\r\ndata: d\r\nid: 1\r\n\r\n");
    }

    #[test]
    fn other_data_takes_the_place_of_data_behind_a_byte_order_mark() {
        let check = |input: &str, expect: &str| {
            let events = frame(&[input.as_bytes()]);
            let event = events.first().unwrap();
            assert_eq!(event.raw, input.as_bytes());
            assert_eq!(String::from_utf8(event.with_data(b"b")).unwrap(), expect);
        };
        check("\u{feff}data: a\n\n", "data: b\n\n");
        check("\u{feff}event: x\r\ndata: a\r\n\r\n", "event: x\r\ndata: b\r\n\r\n");
        check("\u{feff}data", "data: b\n");
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut framer = Framer::default();
        let mut events = Vec::new();
        let mut push = |bytes: &[u8]| framer.push(bytes, &mut events);
        assert_eq!(push(b"data: a\n\ndata: "), Ok(()));
        assert_eq!(push(&vec![b'x'; SSE_EVENT_BYTES_MAX]), Err(Error::TooLarge));
        assert_eq!(events.len(), 1);
    }

    proptest! {
        #[test]
        fn every_chunking_gives_the_same_events(
            parts in prop::collection::vec(prop::sample::select(vec![
                "data: a", "data", ":", "id: 1", "\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "x", "\u{feff}",
            ]), 0..24),
            cuts in prop::collection::vec(1_usize..5, 1..20),
        ) {
            let input = parts.concat().into_bytes();
            let whole = frame(&[&input]);
            let mut chunks = Vec::new();
            let mut rest = input.as_slice();
            for cut in cuts.iter().cycle() {
                let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(&frame(&chunks), &whole);
            let raw: Vec<u8> = whole.iter().flat_map(|event| event.raw.clone()).collect();
            prop_assert_eq!(raw, input);
        }
    }
}
