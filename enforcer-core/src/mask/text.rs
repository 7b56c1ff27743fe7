// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Texts that may be JSON themselves: tool call arguments, structured answers, tool results.
//!
//! A text whose first character is `{` or `[` is followed as JSON for as long as it is: the strings in it
//! are unescaped before detectors look at them, a masked string is escaped again, and a masked number
//! becomes a string, so that what was JSON still is. From the first character on that JSON does not allow
//! the rest is a plain text. Bytes that are not masked stay as they are, escapes too. A number longer
//! than [`MASK_HOLD_BYTES_MAX`] is masked whole. Not followed: JSON in strings of JSON in text.

use std::borrow::Cow;
use std::fmt;
use std::mem;

use crate::model::limits::MASK_HOLD_BYTES_MAX;

use super::engine::Engine;
use super::masker::{Masked, Masker};
use super::unescape::{Raw, Unescaped, unescape};

/// Stands for a number that is too long to be looked at.
const LONG_NUMBER: &str = "\"[masked]\"";

impl Masker {
    /// Masks a whole text that may be JSON itself.
    #[must_use]
    pub fn mask_text<'t>(&self, text: &'t str) -> Masked<'t> {
        if !text.trim_start().starts_with(['{', '[']) {
            return self.mask(text);
        }
        let mut stream = self.text_stream();
        let mut out = stream.push(text);
        out.push_str(&stream.finish());
        match stream.count() {
            0 => Masked { text: Cow::Borrowed(text), count: 0 },
            count => Masked { text: Cow::Owned(out), count },
        }
    }

    /// Masks one text that may be JSON itself and arrives in pieces.
    #[must_use]
    pub fn text_stream(&self) -> TextStream {
        TextStream {
            masker: self.clone(),
            engine: self.engine(),
            state: State::Start,
            depth: 0,
            numbers: 0,
            raw: Raw::default(),
        }
    }
}

/// Masks one text that may be JSON itself: whatever the pieces, the outputs together are what
/// [`Masker::mask_text`] makes of the whole.
#[derive(Clone)]
pub struct TextStream {
    masker: Masker,
    /// For the string or the plain text that is open.
    engine: Engine,
    state: State,
    depth: usize,
    /// Numbers masked; the engine counts the rest.
    numbers: u64,
    raw: Raw,
}

#[derive(Clone)]
enum State {
    /// Only whitespace so far.
    Start,
    /// Between the values of JSON.
    Between,
    /// In a `true`, `false` or `null`, of which this is missing.
    Literal(&'static str),
    /// In a number, or several with only whitespace between them.
    Number(String),
    /// In a number that is too long.
    LongNumber,
    /// In a string.
    String,
    /// In an escape of a string, after the backslash.
    Escape(String),
    /// Not JSON, or not any more.
    Plain,
}

impl fmt::Debug for TextStream {
    /// Without the text: what is held back may be what must not be written anywhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextStream").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl TextStream {
    /// Takes the next piece and returns what is decided.
    #[must_use]
    pub fn push(&mut self, chunk: &str) -> String {
        let mut out = String::new();
        let mut rest = chunk;
        while !rest.is_empty() {
            rest = self.step(rest, &mut out);
        }
        self.raw.flush(&mut self.engine, &mut out);
        out
    }

    /// Ends the text and returns the rest; the next push begins another text.
    #[must_use]
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        match mem::replace(&mut self.state, State::Start) {
            State::Plain => self.engine.finish(&mut out),
            State::Number(number) => self.close_number(&number, &mut out),
            State::LongNumber => out.push_str(LONG_NUMBER),
            State::Escape(escape) => {
                self.raw.literal("\\");
                self.raw.literal(&escape);
                self.raw.finish(&mut self.engine, &mut out);
            }
            State::String => self.raw.finish(&mut self.engine, &mut out),
            State::Start | State::Between | State::Literal(_) => {}
        }
        self.depth = 0;
        out
    }

    /// Places masked so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.engine.count() + self.numbers
    }

    /// Takes at least one character, and returns what is left.
    fn step<'c>(&mut self, rest: &'c str, out: &mut String) -> &'c str {
        let Some(first) = rest.chars().next() else { return "" };
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        match mem::replace(&mut self.state, State::Between) {
            State::Start if first.is_whitespace() => {
                self.state = State::Start;
                out.push(first);
                after
            }
            State::Start if !matches!(first, '{' | '[') => self.plain(rest, out),
            State::Start | State::Between => self.between(first, rest, after, out),
            State::Literal(missing) => match missing.strip_prefix(first) {
                Some(missing) => {
                    self.state = State::Literal(missing);
                    out.push(first);
                    after
                }
                None if missing.is_empty() => self.between(first, rest, after, out),
                None => self.plain(rest, out),
            },
            State::Number(number) => self.number(number, first, rest, out),
            State::LongNumber if is_structural(first) => {
                out.push_str(LONG_NUMBER);
                self.between(first, rest, after, out)
            }
            State::LongNumber => {
                self.state = State::LongNumber;
                after
            }
            State::String => self.string(rest, out),
            State::Escape(escape) => self.escape(escape, first, after, out),
            State::Plain => self.plain(rest, out),
        }
    }

    fn plain<'c>(&mut self, rest: &'c str, out: &mut String) -> &'c str {
        self.state = State::Plain;
        self.engine.push(rest, out);
        ""
    }

    /// A character between values; the state is `Between` already.
    fn between<'c>(
        &mut self,
        first: char,
        rest: &'c str,
        after: &'c str,
        out: &mut String,
    ) -> &'c str {
        self.state = match first {
            '"' => State::String,
            't' => State::Literal("rue"),
            'f' => State::Literal("alse"),
            'n' => State::Literal("ull"),
            '-' | '0'..='9' => {
                self.state = State::Number(String::new());
                return rest;
            }
            ' ' | '\t' | '\n' | '\r' | ',' | ':' => State::Between,
            '{' | '[' => {
                self.depth += 1;
                State::Between
            }
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 { State::Plain } else { State::Between }
            }
            _ => return self.plain(rest, out),
        };
        out.push(first);
        after
    }

    fn number<'c>(
        &mut self,
        mut number: String,
        first: char,
        rest: &'c str,
        out: &mut String,
    ) -> &'c str {
        let is_part = |c: &char| {
            matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E' | ' ' | '\t' | '\n' | '\r')
        };
        if is_structural(first) {
            self.close_number(&number, out);
            return rest;
        }
        let len = rest.chars().take_while(is_part).map(char::len_utf8).sum();
        let (part, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
        number.push_str(part);
        if number.len() > MASK_HOLD_BYTES_MAX {
            self.numbers += 1;
            self.state = State::LongNumber;
        } else if part.is_empty() {
            // Not JSON after all.
            self.engine.push(&number, out);
            return self.plain(rest, out);
        } else {
            self.state = State::Number(number);
        }
        after
    }

    fn close_number(&mut self, number: &str, out: &mut String) {
        let trimmed = number.trim_end();
        let masked = self.masker.mask_number(trimmed);
        if masked.count > 0 {
            self.numbers += masked.count;
            out.push('"');
            out.push_str(&masked.text);
            out.push('"');
        } else {
            out.push_str(trimmed);
        }
        out.push_str(number.get(trimmed.len()..).unwrap_or_default());
    }

    fn string<'c>(&mut self, rest: &'c str, out: &mut String) -> &'c str {
        let end = rest.find(['"', '\\']).unwrap_or(rest.len());
        let (text, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        self.raw.literal(text);
        self.state = State::String;
        if let Some(rest) = rest.strip_prefix('\\') {
            self.state = State::Escape(String::new());
            return rest;
        }
        let Some(rest) = rest.strip_prefix('"') else { return rest };
        self.raw.finish(&mut self.engine, out);
        out.push('"');
        self.state = State::Between;
        rest
    }

    fn escape<'c>(
        &mut self,
        mut escape: String,
        first: char,
        after: &'c str,
        out: &mut String,
    ) -> &'c str {
        escape.push(first);
        self.state = State::String;
        match unescape(&escape) {
            Unescaped::Char(c) => self.raw.escaped(c, &escape),
            Unescaped::HalfPair => {
                let (half, mut rest) = escape.split_at_checked(5).unwrap_or((&escape, ""));
                self.raw.escaped(char::REPLACEMENT_CHARACTER, half);
                while !rest.is_empty() {
                    rest = self.step(rest, out);
                }
            }
            Unescaped::Invalid => {
                self.raw.literal("\\");
                self.raw.literal(&escape);
            }
            Unescaped::Partial => self.state = State::Escape(escape),
        }
        after
    }
}

fn is_structural(c: char) -> bool {
    matches!(c, ',' | ':' | '{' | '}' | '[' | ']')
}
