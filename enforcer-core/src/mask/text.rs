// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Texts that may be JSON themselves: tool call arguments, structured answers, tool results.
//!
//! A text whose first character is `{` or `[` is followed as JSON for as long as it is: the strings in it
//! are unescaped before detectors look at them, a masked string is escaped again, and a masked number
//! becomes a string, so that what was JSON still is. From the first character on that JSON does not allow
//! the rest is a plain text. Bytes that are not masked stay as they are, escapes too. A number longer
//! than [`MASK_HOLD_BYTES_MAX`] is masked whole, whatever is looked for.
//! `\uXXXX` stands for its character in a plain text, too, and behind several backslashes: JSON may stand anywhere
//! in a text, and in strings of JSON. Whether it does is not asked, which errs to masking.

use std::fmt;
use std::mem;

use crate::model::limits::MASK_HOLD_BYTES_MAX;

use super::engine::{Engine, Hits, Sink};
use super::masker::{Masked, Masker, Tally};
use super::unescape::{Raw, Unescaped, unescape};

/// Stands for a number that is too long to be looked at.
const LONG_NUMBER: &str = "\"[masked]\"";

/// Backslashes in a row that are looked at together: JSON inside JSON doubles them each time.
const BACKSLASHES_MAX: usize = 15;

/// How many backslashes an escape begins with, and what follows them.
fn backslashes(escape: &str) -> (usize, &str) {
    let tail = escape.trim_start_matches('\\');
    (escape.len() - tail.len(), tail)
}

/// Whether a text begins as JSON.
pub(super) fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// Whether a text has to be followed: it begins as JSON, or has escapes that JSON inside it may have.
pub(super) fn is_followed(text: &str) -> bool {
    is_json(text) || text.contains("\\u")
}

impl Masker {
    /// Masks a whole text that may be JSON itself.
    #[must_use]
    pub fn mask_text<'t>(&self, text: &'t str) -> Masked<'t> {
        let mut masked = String::new();
        let tally = self.read_text(text, &mut masked);
        Masked::of(text, masked, tally.count)
    }

    /// Reads a whole text that may be JSON itself. Where nothing is found the sink may have got nothing.
    pub(super) fn read_text(&self, text: &str, sink: &mut impl Sink) -> Tally {
        if self.is_empty() || !is_followed(text) {
            return self.read_plain(text, sink);
        }
        let mut stream = self.text_stream();
        stream.push_into(text, true, sink);
        stream.finish_into(sink);
        Tally { count: stream.count(), hits: stream.hits() }
    }

    /// Masks one text that may be JSON itself and arrives in pieces.
    #[must_use]
    pub fn text_stream(&self) -> TextStream {
        TextStream {
            masker: self.clone(),
            engine: self.engine(),
            state: State::first(self),
            depth: 0,
            numbers: Tally::default(),
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
    numbers: Tally,
    raw: Raw,
}

#[derive(Clone)]
enum State {
    /// Only whitespace so far.
    Start,
    /// Between the values of JSON.
    Between,
    /// In a `true`, `false` or `null`, of which so many bytes are there.
    Literal(&'static str, usize),
    /// In a number, or several with only whitespace between them.
    Number(String),
    /// In a number that is too long.
    LongNumber,
    /// In a string.
    String,
    /// In an escape of a string, after the first backslash.
    Escape(String),
    /// In what may be an escape of a plain text, after the first backslash.
    PlainEscape(String),
    /// Not JSON, or not any more.
    Plain,
}

impl State {
    fn first(masker: &Masker) -> Self {
        if masker.is_empty() { Self::Plain } else { Self::Start }
    }
}

impl fmt::Debug for TextStream {
    /// Without the text: what is held back may be what must not be written anywhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextStream").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl TextStream {
    /// Masks another text by the same masker. What detectors build while they search is there once for all
    /// texts made so, which bounds what many texts at once take.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { engine: self.engine.beside(), ..self.masker.text_stream() }
    }

    /// Takes the next piece and returns what is decided.
    #[must_use]
    pub fn push(&mut self, chunk: &str) -> String {
        let mut out = String::new();
        self.push_into(chunk, false, &mut out);
        out
    }

    /// Ends the text and returns the rest; the next push begins another text.
    #[must_use]
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        self.finish_into(&mut out);
        out
    }

    /// Places masked so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.engine.count() + self.numbers.count
    }

    fn hits(&self) -> Hits {
        self.engine.hits().union(&self.numbers.hits).copied().collect()
    }

    /// Takes the next piece; what is the last one need not be decided before the end is there.
    fn push_into(&mut self, chunk: &str, is_last: bool, out: &mut impl Sink) {
        let mut rest = chunk;
        while !rest.is_empty() {
            rest = self.step(rest, out);
        }
        if !is_last {
            self.raw.flush(&mut self.engine, out);
        }
    }

    fn finish_into(&mut self, out: &mut impl Sink) {
        match mem::replace(&mut self.state, State::first(&self.masker)) {
            State::Plain | State::String => self.raw.finish(&mut self.engine, out),
            State::Number(number) => self.close_number(&number, out),
            State::LongNumber => out.put(LONG_NUMBER),
            State::Literal(word, length) if length == word.len() => out.keep(word),
            // Not JSON after all.
            State::Literal(word, length) => {
                self.raw.literal(word.get(..length).unwrap_or(word));
                self.raw.finish(&mut self.engine, out);
            }
            State::Escape(escape) | State::PlainEscape(escape) => {
                self.raw.literal("\\");
                self.raw.literal(&escape);
                self.raw.finish(&mut self.engine, out);
            }
            State::Start | State::Between => {}
        }
        self.depth = 0;
    }

    /// Takes at least one character, or changes the state, and returns what is left.
    fn step<'c>(&mut self, rest: &'c str, out: &mut impl Sink) -> &'c str {
        let Some(first) = rest.chars().next() else { return "" };
        let (it, after) = rest.split_at_checked(first.len_utf8()).unwrap_or((rest, ""));
        match mem::replace(&mut self.state, State::Between) {
            State::Start if first.is_whitespace() => {
                self.state = State::Start;
                out.keep(it);
                after
            }
            State::Start if !matches!(first, '{' | '[') => self.plain(rest),
            State::Start | State::Between => self.between(rest, out),
            State::Literal(word, length) => self.literal(word, length, rest, out),
            State::Number(number) => self.number(number, first, rest, out),
            State::LongNumber if is_structural(first) => {
                out.put(LONG_NUMBER);
                rest
            }
            State::LongNumber => {
                self.state = State::LongNumber;
                out.hide(first.len_utf8());
                after
            }
            State::String => self.string(rest, out),
            State::Escape(escape) => self.escape(escape, first, after, out),
            State::PlainEscape(escape) => self.plain_escape(escape, first, after, out),
            State::Plain => self.plain(rest),
        }
    }

    fn plain<'c>(&mut self, rest: &'c str) -> &'c str {
        self.state = State::Plain;
        let Some((text, rest)) = rest.split_once('\\') else {
            self.raw.literal(rest);
            return "";
        };
        self.raw.literal(text);
        self.state = State::PlainEscape(String::new());
        rest
    }

    /// A plain text may have JSON in it, and that JSON in its strings, so `\\uXXXX` stands for its character however
    /// many backslashes are before it; nothing else is an escape here.
    fn plain_escape<'c>(
        &mut self,
        mut escape: String,
        first: char,
        after: &'c str,
        out: &mut impl Sink,
    ) -> &'c str {
        escape.push(first);
        self.state = State::Plain;
        let (run, tail) = backslashes(&escape);
        let is_pending = tail.is_empty() && run < BACKSLASHES_MAX;
        match (is_pending, tail.starts_with('u')) {
            (true, _) => self.state = State::PlainEscape(escape),
            (false, true) => self.unit(&escape, run, State::PlainEscape, out),
            (false, false) => {
                self.raw.literal("\\");
                self.raw.literal(&escape);
            }
        }
        after
    }

    /// What begins as `uXXXX` behind so many backslashes; the state is the one behind it already.
    fn unit(
        &mut self,
        escape: &str,
        run: usize,
        pending: impl FnOnce(String) -> State,
        out: &mut impl Sink,
    ) {
        match unescape(escape.get(run..).unwrap_or_default()) {
            Unescaped::Char(c) => self.raw.escaped(c, escape),
            Unescaped::HalfPair => {
                let (half, rest) = escape.split_at_checked(run + 5).unwrap_or((escape, ""));
                self.raw.escaped(char::REPLACEMENT_CHARACTER, half);
                self.rest_of_pair(rest, out);
            }
            Unescaped::Invalid => {
                self.raw.literal("\\");
                self.raw.literal(escape);
            }
            Unescaped::Partial => self.state = pending(escape.to_owned()),
        }
    }

    /// A character between values; the state is `Between` already.
    fn between<'c>(&mut self, rest: &'c str, out: &mut impl Sink) -> &'c str {
        let Some(first) = rest.chars().next() else { return "" };
        let (it, after) = rest.split_at_checked(first.len_utf8()).unwrap_or((rest, ""));
        self.state = match first {
            '"' => State::String,
            't' => State::Literal("true", 0),
            'f' => State::Literal("false", 0),
            'n' => State::Literal("null", 0),
            '-' | '0'..='9' => State::Number(String::new()),
            ' ' | '\t' | '\n' | '\r' | ',' | ':' => State::Between,
            '{' | '[' => {
                self.depth += 1;
                State::Between
            }
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 { State::Plain } else { State::Between }
            }
            _ => return self.plain(rest),
        };
        if matches!(self.state, State::Literal(..) | State::Number(_)) {
            // It takes its first character itself.
            return rest;
        }
        out.keep(it);
        after
    }

    /// What begins like a literal and is none is a plain text from its first letter on.
    fn literal<'c>(
        &mut self,
        word: &'static str,
        length: usize,
        rest: &'c str,
        out: &mut impl Sink,
    ) -> &'c str {
        let (seen, missing) = word.split_at_checked(length).unwrap_or((word, ""));
        if missing.is_empty() && rest.starts_with(is_expected) {
            out.keep(word);
            return rest;
        }
        let more =
            missing.bytes().zip(rest.bytes()).take_while(|(word, text)| word == text).count();
        if more > 0 {
            self.state = State::Literal(word, length + more);
            return rest.get(more..).unwrap_or_default();
        }
        self.raw.literal(seen);
        self.plain(rest)
    }

    fn number<'c>(
        &mut self,
        mut number: String,
        first: char,
        rest: &'c str,
        out: &mut impl Sink,
    ) -> &'c str {
        let is_part =
            |c: &char| matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E') || is_space(*c);
        if is_structural(first) {
            self.close_number(&number, out);
            return rest;
        }
        let len = rest.chars().take_while(is_part).map(char::len_utf8).sum();
        let (part, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
        number.push_str(part);
        if number.len() > MASK_HOLD_BYTES_MAX {
            // Nobody knows what it hides, so every detector is said to have found something.
            self.numbers.count += 1;
            self.numbers.hits.extend(0..self.masker.layers.len());
            self.state = State::LongNumber;
            out.hide(number.len());
        } else if part.is_empty() {
            // Not JSON after all.
            self.raw.literal(&number);
            return self.plain(rest);
        } else {
            self.state = State::Number(number);
        }
        after
    }

    fn close_number(&mut self, number: &str, out: &mut impl Sink) {
        let trimmed = number.trim_end();
        let mut masked = String::new();
        let tally = self.masker.read_number(trimmed, &mut masked);
        if tally.count > 0 {
            self.numbers.count += tally.count;
            self.numbers.hits.extend(tally.hits);
            out.hide(trimmed.len());
            out.put(&format!("\"{masked}\""));
        } else {
            out.keep(trimmed);
        }
        out.keep(number.get(trimmed.len()..).unwrap_or_default());
    }

    fn string<'c>(&mut self, rest: &'c str, out: &mut impl Sink) -> &'c str {
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
        out.keep("\"");
        self.state = State::Between;
        rest
    }

    fn escape<'c>(
        &mut self,
        mut escape: String,
        first: char,
        after: &'c str,
        out: &mut impl Sink,
    ) -> &'c str {
        escape.push(first);
        self.state = State::String;
        let (run, tail) = backslashes(&escape);
        if tail.is_empty() && run < BACKSLASHES_MAX {
            self.state = State::Escape(escape);
            return after;
        }
        if tail.starts_with('u') && (run == 0 || !matches!(unescape(tail), Unescaped::Invalid)) {
            // Behind several backslashes it is one for whoever reads the string as JSON again.
            self.unit(&escape, run, State::Escape, out);
            return after;
        }
        // Each pair of backslashes is one; the one that is left escapes what follows.
        for _ in 0..run.div_ceil(2) {
            self.raw.escaped('\\', "\\");
        }
        if run % 2 == 1 {
            self.rest_of_pair(tail, out);
            return after;
        }
        match unescape(tail) {
            Unescaped::Char(c) => self.raw.escaped(c, tail),
            Unescaped::HalfPair | Unescaped::Invalid | Unescaped::Partial => {
                self.raw.literal("\\");
                self.raw.literal(tail);
            }
        }
        after
    }

    fn rest_of_pair(&mut self, mut rest: &str, out: &mut impl Sink) {
        while !rest.is_empty() {
            rest = self.step(rest, out);
        }
    }
}

fn is_structural(c: char) -> bool {
    matches!(c, ',' | ':' | '{' | '}' | '[' | ']')
}

/// What may stand between values, or begin one.
fn is_expected(c: char) -> bool {
    is_structural(c) || is_space(c) || matches!(c, '"' | 't' | 'f' | 'n' | '-' | '0'..='9')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}
