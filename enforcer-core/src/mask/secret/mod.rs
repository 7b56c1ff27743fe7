// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets that are known by where they stand: behind their name, in a URL, behind the scheme of a header.
//!
//! No rule asks for them and no mask of a bundle names them; they are hidden in what is recorded, logged and shown, and
//! what stands before them stays: `key=[secret]`, `https://[secret]@host/`, `Bearer [secret]`. Percent signs hide no
//! name, however often they were encoded. Errs to hiding: where two readers would end a value at different places, the
//! later one counts.

mod head;
mod known;
mod names;
mod paths;
mod reader;

use std::borrow::Cow;
use std::ops::Range;

use crate::model::limits::MASK_LONG_BYTES_MAX;

use super::window::Window;
pub use head::secrets_of_head;
pub(super) use known::Known;
use reader::{Reader, Unit, Wait};

/// The name in placeholders of what is hidden so.
pub(super) const LABEL: &str = "secret";
/// What stands for a secret in a query.
const HIDDEN: &str = "[secret]";

/// Characters of the longest name, with the blanks around it.
const NAME_CHARS_MAX: usize = 64;
/// Bytes of the longest user and password in a URL.
const USER_BYTES_MAX: usize = 1024;
/// Blanks between a scheme and its value that are looked over.
const BLANKS_MAX: usize = 8;
/// Letters without any digit that are a value and no word.
const WORD_BYTES_MAX: usize = 40;
/// Characters that the shortest value behind a scheme has.
const VALUE_BYTES_MIN: usize = 8;

/// Subprotocols of a WebSocket whose rest is a secret: OpenAI's Realtime API, and Kubernetes.
const SUBPROTOCOLS: [&str; 2] =
    ["openai-insecure-api-key.", "base64url.bearer.authorization.k8s.io."];

/// Whether the value of this name is a secret: a parameter, a field, a header.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    names::is_secret(name)
}

/// A query, or a form, as it may be recorded: names and what is no secret stay as they are.
#[must_use]
pub fn hide_in_query(query: &str) -> Cow<'_, str> {
    let found = places(query, Place::Query);
    if found.is_empty() {
        return Cow::Borrowed(query);
    }
    let mut shown = String::with_capacity(query.len());
    let mut at = 0;
    for value in found {
        shown.push_str(query.get(at..value.start).unwrap_or_default());
        shown.push_str(HIDDEN);
        at = value.end;
    }
    shown.push_str(query.get(at..).unwrap_or_default());
    Cow::Owned(shown)
}

/// Where secrets stand in a text, in order.
fn places(text: &str, place: Place) -> Vec<Range<usize>> {
    let reader = Reader::whole(text);
    let mut found = Vec::new();
    if place == Place::Query {
        // A whole text waits for nothing.
        found.extend(Finder { reader, place }.parameter(0).ok().flatten());
    }
    let from = found.first().map_or(0, |value: &Range<usize>| value.end);
    find(Window { from, ..reader.window }, place, &mut found);
    found
}

/// Searches any text. What is added and returned is as of every detector.
pub(super) fn search(window: Window<'_>, found: &mut Vec<Range<usize>>) -> usize {
    find(window, Place::Text, found)
}

/// Where a secret is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a query as it was sent: a value ends where the next one may begin.
    Query,
    /// In any text: a value ends where a URL does, too.
    Text,
}

fn find(window: Window<'_>, place: Place, found: &mut Vec<Range<usize>>) -> usize {
    let finder = Finder { reader: Reader { window }, place };
    let mut at = window.from;
    loop {
        match finder.step(at) {
            Ok(Some(Step { hidden, next })) => {
                at = next;
                found.extend(hidden);
            }
            Ok(None) | Err(Wait) => return at,
        }
    }
}

/// What is found at one place, and where to go on.
struct Step {
    hidden: Option<Range<usize>>,
    next: usize,
}

struct Finder<'t> {
    reader: Reader<'t>,
    place: Place,
}

impl Finder<'_> {
    /// Looks at one character; none at the end.
    fn step(&self, at: usize) -> Result<Option<Step>, Wait> {
        let Some(unit) = self.reader.unit(at)? else { return Ok(None) };
        let next = at + unit.len;
        let hidden = match unit.byte {
            b'?' | b'&' | b';' | b'#' => self.parameter(next)?,
            b'-' if unit.depth == 0 && self.reader.has(next, "-")? => self.parameter(next + 1)?,
            b':' => self.user(next, unit.depth)?,
            b'/' => paths::find(&self.reader, next)?,
            b'B' | b'b' | b'O' | b'o' | b'C' | b'c' if unit.depth == 0 => self.behind_word(at)?,
            _ => None,
        };
        let hidden = hidden.filter(|hidden| !self.is_hidden(hidden));
        let next = hidden.as_ref().map_or(next, |hidden| hidden.end);
        Ok(Some(Step { hidden, next }))
    }

    /// The value of a parameter whose name begins here, if it is a secret.
    fn parameter(&self, from: usize) -> Result<Option<Range<usize>>, Wait> {
        let (mut at, mut name) = (from, String::new());
        for _ in 0..NAME_CHARS_MAX {
            let Some(unit) = self.reader.unit(at)? else { return Ok(None) };
            at += unit.len;
            match unit.byte {
                b'=' if names::is_secret(&name) => return self.value(at, unit.depth),
                // How a form writes a blank.
                b'+' => {}
                b' ' if unit.depth > 0 => {}
                byte if is_of_name(byte) => name.push(char::from(byte)),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The value that begins here, behind a `=` that was encoded so often.
    fn value(&self, from: usize, depth: usize) -> Result<Option<Range<usize>>, Wait> {
        let most = match self.place {
            Place::Query => usize::MAX,
            Place::Text => from.saturating_add(MASK_LONG_BYTES_MAX),
        };
        let mut at = from;
        while at < most
            && let Some(unit) = self.reader.unit(at)?
            && !self.is_end(unit, depth)
        {
            at += unit.len;
        }
        let range = from..self.reader.window.text.ceil_char_boundary(at);
        Ok((!range.is_empty() && !self.is_hidden(&range)).then_some(range))
    }

    fn is_end(&self, unit: Unit, depth: usize) -> bool {
        let is_end_of_url = self.place == Place::Text || unit.depth > 0;
        unit.depth <= depth && (unit.byte == b'&' || (is_end_of_url && ends_url(unit.byte)))
    }

    /// User and password of a URL, of which the colon of the scheme stands before this; RFC 3986 section 3.2.1.
    fn user(&self, from: usize, depth: usize) -> Result<Option<Range<usize>>, Wait> {
        let mut at = from;
        for _ in 0..2 {
            match self.reader.unit(at)? {
                Some(unit) if unit.byte == b'/' => at += unit.len,
                _ => return Ok(None),
            }
        }
        let (begin, mut end) = (at, None);
        while at - begin < USER_BYTES_MAX
            && let Some(unit) = self.reader.unit(at)?
        {
            let is_read = unit.depth <= depth;
            match unit.byte {
                // As browsers do it: the last one before the path.
                b'@' if is_read => end = Some(at),
                b'/' | b'?' if is_read => break,
                byte if is_read && ends_url(byte) => break,
                _ => {}
            }
            at += unit.len;
        }
        Ok(end.map(|end| begin..end).filter(|user| !user.is_empty()))
    }

    /// What stands behind the scheme of a header, or the name of one.
    fn behind_word(&self, at: usize) -> Result<Option<Range<usize>>, Wait> {
        for prefix in SUBPROTOCOLS {
            if self.reader.has(at, prefix)? {
                let end = self.token(at + prefix.len())?;
                return Ok((end > at + prefix.len()).then_some(at + prefix.len()..end));
            }
        }
        if self.reader.has(at, "cookie:")? {
            return self.cookies(at + "cookie:".len());
        }
        for (scheme, is_value) in
            [("bearer", is_bearer as fn(&str) -> bool), ("basic", is_basic as fn(&str) -> bool)]
        {
            if self.reader.has(at, scheme)?
                && let Some(begin) = self.behind_blanks(at + scheme.len())?
            {
                let end = self.token(begin)?;
                return Ok(is_value(self.reader.text(begin..end)).then_some(begin..end));
            }
        }
        Ok(None)
    }

    /// The line behind `Cookie:` or `Set-Cookie:`, if it begins with a pair; RFC 6265 section 4.1.1.
    fn cookies(&self, from: usize) -> Result<Option<Range<usize>>, Wait> {
        let begin = self.behind_blanks(from)?.unwrap_or(from);
        let mut at = begin;
        while at - begin < NAME_CHARS_MAX && self.reader.byte(at)?.is_some_and(is_of_name) {
            at += 1;
        }
        if at == begin || self.reader.byte(at)? != Some(b'=') {
            return Ok(None);
        }
        while at - begin < MASK_LONG_BYTES_MAX
            && let Some(byte) = self.reader.byte(at)?
            && !matches!(byte, b'\r' | b'\n' | b'"' | b'\\' | b'<')
        {
            at += 1;
        }
        Ok(Some(begin..self.reader.window.text.ceil_char_boundary(at)))
    }

    /// Where what comes behind at least one blank begins.
    fn behind_blanks(&self, from: usize) -> Result<Option<usize>, Wait> {
        let mut at = from;
        for _ in 0..BLANKS_MAX {
            match self.reader.unit(at)? {
                Some(unit) if matches!(unit.byte, b' ' | b'+' | b'\t') => at += unit.len,
                _ => break,
            }
        }
        Ok((at > from).then_some(at))
    }

    /// Where the characters end of which a credential consists; RFC 9110 section 11.2.
    fn token(&self, from: usize) -> Result<usize, Wait> {
        let is_part = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'%')
        };
        let mut at = from;
        while at - from < MASK_LONG_BYTES_MAX && self.reader.byte(at)?.is_some_and(is_part) {
            at += 1;
        }
        Ok(at)
    }

    /// Whether only a placeholder of ours stands there.
    fn is_hidden(&self, range: &Range<usize>) -> bool {
        let rest = self.reader.text(range.clone()).strip_prefix("[secret");
        rest.and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|hash| hash.bytes().all(|it| it == b':' || it.is_ascii_hexdigit()))
    }
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'$' | b'~' | b':')
}

/// What stands in no URL that is a part of a text. A single quote may, and does not end one here.
const fn ends_url(byte: u8) -> bool {
    byte.is_ascii_whitespace()
        || byte.is_ascii_control()
        || matches!(byte, b'"' | b'<' | b'>' | b'`' | b'\\' | b'#')
}

/// Whether it is a token and not a word of a text.
fn is_bearer(value: &str) -> bool {
    let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
    value.len() >= VALUE_BYTES_MIN && (has_digit || value.len() > WORD_BYTES_MAX)
}

/// Whether it is a user and a password; RFC 7617.
fn is_basic(value: &str) -> bool {
    basic(value).is_some_and(|pair| pair.contains(&b':'))
}

/// What a value in Base64 holds; none if it is none.
pub(super) fn basic(value: &str) -> Option<Vec<u8>> {
    let value = value.trim_end_matches('=').as_bytes();
    let (mut bits, mut count) = (0_u32, 0);
    let mut bytes = Vec::with_capacity(value.len() / 4 * 3 + 2);
    for byte in value {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(digit)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    (bytes.len() >= 3).then_some(bytes)
}

#[cfg(test)]
mod tests;
