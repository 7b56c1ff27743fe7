// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Strings of JSON inside text: unescaped for the engine, and given out as they were sent.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::mem;

use super::engine::{Engine, Sink};

/// What an escape stands for.
pub(super) enum Unescaped {
    Char(char),
    /// The first half of a surrogate pair, and then something else.
    HalfPair,
    Invalid,
    Partial,
}

/// Reads what stands after a backslash.
pub(super) fn unescape(escape: &str) -> Unescaped {
    let single = match escape {
        "\"" | "\\" | "/" => escape.chars().next(),
        "b" => Some('\u{8}'),
        "f" => Some('\u{c}'),
        "n" => Some('\n'),
        "r" => Some('\r'),
        "t" => Some('\t'),
        _ => None,
    };
    if let Some(c) = single {
        return Unescaped::Char(c);
    }
    let Some(unit) = escape.strip_prefix('u') else { return Unescaped::Invalid };
    let high = match hex(unit.get(..4).unwrap_or(unit)) {
        Ok(None) => return Unescaped::Partial,
        Ok(Some(unit)) => unit,
        Err(NotHex) => return Unescaped::Invalid,
    };
    if !(0xd800..0xdc00).contains(&high) {
        return Unescaped::Char(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    let second = unit.get(4..).unwrap_or_default();
    if "\\u".starts_with(second) {
        return Unescaped::Partial;
    }
    match second.strip_prefix("\\u").map(hex) {
        Some(Ok(None)) => Unescaped::Partial,
        Some(Ok(Some(low @ 0xdc00..0xe000))) => {
            let c = char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            Unescaped::Char(c.unwrap_or(char::REPLACEMENT_CHARACTER))
        }
        Some(Ok(Some(_)) | Err(NotHex)) | None => Unescaped::HalfPair,
    }
}

/// A text as it reads if every escape in it is one of a string of JSON; what is no escape stays.
#[must_use]
pub fn unescaped(text: &str) -> Cow<'_, str> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let mut ends = after.char_indices().map(|(at, c)| at + c.len_utf8());
        let (c, length) = loop {
            let Some(end) = ends.next() else { break ('\\', 0) };
            match unescape(after.get(..end).unwrap_or_default()) {
                Unescaped::Char(c) => break (c, end),
                Unescaped::HalfPair => break (char::REPLACEMENT_CHARACTER, "ud83d".len()),
                Unescaped::Invalid => break ('\\', 0),
                Unescaped::Partial => {}
            }
        };
        plain.push(c);
        rest = after.get(length..).unwrap_or_default();
    }
    if rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

struct NotHex;

/// Four hexadecimal digits; `None` as long as there are fewer.
fn hex(digits: &str) -> Result<Option<u32>, NotHex> {
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(NotHex);
    }
    Ok((digits.len() == 4).then(|| u32::from_str_radix(digits, 16).ok()).flatten())
}

/// The bytes of a string as they were sent, for what the engine has not decided yet.
#[derive(Clone, Default)]
pub(super) struct Raw {
    sent: String,
    units: VecDeque<Unit>,
    /// Unescaped text that the engine has not seen yet.
    text: String,
}

/// A stretch of the string.
#[derive(Clone, Copy, Debug)]
struct Unit {
    /// Bytes of the unescaped text.
    text: usize,
    /// Bytes as sent; another number if it is an escape.
    sent: usize,
}

impl Raw {
    /// Adds a stretch without escapes.
    pub(super) fn literal(&mut self, text: &str) {
        self.text.push_str(text);
        self.sent.push_str(text);
        match self.units.back_mut() {
            Some(unit) if unit.text == unit.sent => {
                unit.text += text.len();
                unit.sent += text.len();
            }
            _ => self.units.push_back(Unit { text: text.len(), sent: text.len() }),
        }
    }

    /// Adds a character and the escape, without its backslash, that it was sent as.
    pub(super) fn escaped(&mut self, c: char, escape: &str) {
        self.units.push_back(Unit { text: c.len_utf8(), sent: escape.len() + 1 });
        self.sent.push('\\');
        self.sent.push_str(escape);
        self.text.push(c);
    }

    pub(super) fn flush(&mut self, engine: &mut Engine, out: &mut impl Sink) {
        if !self.text.is_empty() {
            let text = mem::take(&mut self.text);
            self.run(out, |sink| engine.push(&text, sink));
        }
    }

    pub(super) fn finish(&mut self, engine: &mut Engine, out: &mut impl Sink) {
        let text = mem::take(&mut self.text);
        self.run(out, |sink| engine.finish(&text, sink));
    }

    fn run<S: Sink>(&mut self, out: &mut S, run: impl FnOnce(&mut RawSink<'_, S>)) {
        let mut sink = RawSink { raw: self, taken: 0, out };
        run(&mut sink);
        let taken = sink.taken;
        self.sent.drain(..taken.min(self.sent.len()));
    }
}

/// Gives out the bytes as sent for what the engine keeps.
struct RawSink<'s, S> {
    raw: &'s mut Raw,
    /// Bytes of `raw.sent` that are dealt with.
    taken: usize,
    out: &'s mut S,
}

impl<S> RawSink<'_, S> {
    /// Moves behind the next bytes of text. An escape is never split: matches end at characters.
    fn skip(&mut self, mut text: usize) {
        while text > 0 {
            let Some(unit) = self.raw.units.front_mut() else { break };
            if unit.text == unit.sent && unit.text > text {
                unit.text -= text;
                unit.sent -= text;
                self.taken += text;
                break;
            }
            self.taken += unit.sent;
            text = text.saturating_sub(unit.text);
            self.raw.units.pop_front();
        }
    }
}

impl<S: Sink> Sink for RawSink<'_, S> {
    fn keep(&mut self, text: &str) {
        let from = self.taken;
        self.skip(text.len());
        self.out.keep(self.raw.sent.get(from..self.taken).unwrap_or_default());
    }

    fn hide(&mut self, bytes: usize) {
        let from = self.taken;
        self.skip(bytes);
        self.out.hide(self.taken - from);
    }

    fn put(&mut self, placeholder: &str) {
        let quoted = serde_json::Value::from(placeholder).to_string();
        self.out.put(quoted.get(1..quoted.len() - 1).unwrap_or(placeholder));
    }
}
