// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The detector `email`.
//!
//! Finds `local@domain.tld`, also with the sign written as `%40` (in addresses of pages) or `\u0040` (JSON
//! inside text). Letters may be Latin, Greek or Cyrillic beyond ASCII; scripts written without spaces are
//! not taken, they would swallow the sentence before the address. An escape before the local part
//! (`\njohn@…`) is taken with it, so that JSON inside text stays JSON. Not found: quoted local parts,
//! address literals, hosts without a dot. Linear: both walks from a sign are bounded.

use std::ops::Range;

use super::window::Window;

/// Longest local part, in characters (RFC 5321 section 4.5.3.1.1).
const LOCAL_CHARS_MAX: usize = 64;
/// Longest domain, in bytes (RFC 5321 section 4.5.3.1.2, less the dot at the end).
const DOMAIN_BYTES_MAX: usize = 254;
/// How the sign is written.
const SIGNS: [&str; 3] = ["@", "%40", "\\u0040"];
/// Characters of the longest way to write the sign.
const SIGN_CHARS_MAX: usize = 6;

pub(super) fn search(window: Window<'_>, found: &mut Vec<Range<usize>>) -> usize {
    let Window { text, from, is_end } = window;
    let mut undecided = if is_end { text.len() } else { tail(text, from) };
    let mut at = from;
    while let Some(sign) = next_sign(text, at) {
        at = sign.end;
        let Some(start) = local_start(text, sign.start) else { continue };
        match domain_end(text, sign.end, is_end) {
            Domain::Ends(end) if start >= from => found.push(start..end),
            Domain::Ends(_) | Domain::None => {}
            Domain::Undecided => undecided = undecided.min(start),
        }
    }
    undecided.max(from)
}

/// The domain of a match.
pub(super) fn domain(matched: &str) -> Option<&str> {
    let sign = next_sign(matched, 0)?;
    matched.get(sign.end..)
}

fn next_sign(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes().get(from..)?;
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| matches!(byte, b'@' | b'%' | b'\\'))?;
        let rest = bytes.get(at..)?;
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(sign.as_bytes())) {
            return Some(from + at..from + at + sign.len());
        }
        at += 1;
    }
}

/// Where the part of the text begins that may become a local part or the sign after it.
fn tail(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.char_indices()
        .rev()
        .take(LOCAL_CHARS_MAX + SIGN_CHARS_MAX)
        .take_while(|(_, c)| is_local(*c) || *c == '\\')
        .last()
        .map_or(text.len(), |(at, _)| from + at)
}

fn local_start(text: &str, sign: usize) -> Option<usize> {
    let mut start = sign;
    let mut budget = LOCAL_CHARS_MAX;
    let before = text.get(..sign)?;
    let mut chars = before.char_indices().rev().peekable();
    while let Some((at, c)) = chars.next_if(|(_, c)| budget > 0 && (is_local(*c) || *c == '\\')) {
        start = at;
        budget -= 1;
        if c == '\\' && !is_unicode_escape(text.get(at..sign)?) {
            // Half an escape must not stay: all its backslashes go.
            while let Some((at, _)) = chars.next_if(|(_, c)| budget > 0 && *c == '\\') {
                start = at;
                budget -= 1;
            }
            break;
        }
    }
    let local = text.get(start..sign)?;
    let skipped = local.find(|c| is_word(c) || c == '\\' || c == '_')?;
    local.contains(is_word).then_some(start + skipped)
}

fn is_unicode_escape(text: &str) -> bool {
    let digits = text.strip_prefix("\\u").and_then(|rest| rest.get(..4));
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

enum Domain {
    Ends(usize),
    None,
    Undecided,
}

/// The longest run of labels after the sign whose last one looks like a top-level domain.
fn domain_end(text: &str, from: usize, is_end: bool) -> Domain {
    let rest = text.get(from..).unwrap_or_default();
    let (mut end, mut label, mut labels) = (None, 0, 0);
    let mut close = |label: &str, at: usize, labels: usize| {
        let name = label.trim_end_matches('-');
        let letters = name.chars().take(2).filter(|c| c.is_alphanumeric()).count();
        if labels > 0 && letters == 2 && name.starts_with(char::is_alphabetic) {
            end = Some(from + at + name.len());
        }
    };
    let mut stop = rest.len();
    let mut is_cut = true;
    for (at, c) in rest.char_indices() {
        let fits = at + c.len_utf8() <= DOMAIN_BYTES_MAX;
        let is_label_start = at == label;
        let goes_on = fits && (is_word(c) || (!is_label_start && (c == '-' || c == '.')));
        if !goes_on {
            (stop, is_cut) = (at, false);
            break;
        }
        if c == '.' {
            close(rest.get(label..at).unwrap_or_default(), label, labels);
            labels += 1;
            label = at + 1;
        }
    }
    if is_cut && !is_end {
        return Domain::Undecided;
    }
    close(rest.get(label..stop).unwrap_or_default(), label, labels);
    end.map_or(Domain::None, Domain::Ends)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || (c.is_alphabetic()
            && matches!(c, '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{52f}' | '\u{1e00}'..='\u{1eff}'))
}

fn is_local(c: char) -> bool {
    is_word(c)
        || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'' | '&' | '~' | '!' | '#' | '$' | '*')
}
