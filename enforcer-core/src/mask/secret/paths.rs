// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Paths of APIs that carry a secret as one of their segments.

use std::ops::Range;

use super::reader::{Reader, Wait};

/// What a segment of a path is.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// This word.
    Word(&'static str),
    /// Capitals and digits, with one of these letters in front.
    Id(&'static str),
    /// Digits.
    Number,
    /// The secret: this many letters, digits, `-` and `_` at least.
    Secret(usize),
}

/// The paths. Behind the last part anything may follow.
const PATHS: [&[Part]; 7] = [
    // Slack, incoming webhooks.
    &[Part::Word("services"), Part::Id("TE"), Part::Id("B"), Part::Secret(8)],
    // Slack, webhooks of workflows: old and new ones.
    &[Part::Word("workflows"), Part::Id("TE"), Part::Id("AW"), Part::Number, Part::Secret(8)],
    &[Part::Word("triggers"), Part::Id("TE"), Part::Number, Part::Secret(8)],
    // Discord, webhooks and answers to interactions.
    &[Part::Word("webhooks"), Part::Number, Part::Secret(20)],
    &[Part::Word("interactions"), Part::Number, Part::Secret(20)],
    // Microsoft Teams, incoming webhooks of connectors.
    &[Part::Word("IncomingWebhook"), Part::Secret(20)],
    // Zapier, catch hooks.
    &[Part::Word("catch"), Part::Number, Part::Secret(6)],
];

/// Bytes of the longest segment that is looked at.
const SEGMENT_BYTES_MAX: usize = 512;

/// The secret in a path, of which a segment begins here.
pub(super) fn find(reader: &Reader<'_>, at: usize) -> Result<Option<Range<usize>>, Wait> {
    if let Some(token) = bot(reader, at)? {
        return Ok(Some(token));
    }
    for parts in PATHS {
        if let Some(secret) = follow(reader, at, parts)? {
            return Ok(Some(secret));
        }
    }
    Ok(None)
}

/// Telegram's Bot API: `/bot<token>/METHOD`, where the token is the bot's number, a colon and letters.
fn bot(reader: &Reader<'_>, at: usize) -> Result<Option<Range<usize>>, Wait> {
    if !reader.has(at, "bot")? {
        return Ok(None);
    }
    let token = at + 3;
    let mut colon = token;
    while reader.byte(colon)?.is_some_and(|byte| byte.is_ascii_digit()) {
        colon += 1;
        if colon - token > SEGMENT_BYTES_MAX {
            return Ok(None);
        }
    }
    let Some(unit) = reader.unit(colon)? else { return Ok(None) };
    if unit.byte != b':' || colon == token {
        return Ok(None);
    }
    let end = segment(reader, colon + unit.len)?;
    Ok((end > colon + unit.len + 8).then_some(token..end))
}

fn follow(
    reader: &Reader<'_>,
    mut at: usize,
    parts: &[Part],
) -> Result<Option<Range<usize>>, Wait> {
    for part in parts {
        if let Part::Word(word) = part
            && !reader.has(at, word)?
        {
            return Ok(None);
        }
        let end = segment(reader, at)?;
        let text = reader.text(at..end);
        let is_fit = match part {
            Part::Word(word) => text == *word,
            Part::Id(first) => {
                text.starts_with(|c| first.contains(c))
                    && text.bytes().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit())
            }
            Part::Number => !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit()),
            Part::Secret(least) => return Ok((text.len() >= *least).then_some(at..end)),
        };
        if !is_fit || reader.byte(end)? != Some(b'/') {
            return Ok(None);
        }
        at = end + 1;
    }
    Ok(None)
}

/// Where a segment ends.
fn segment(reader: &Reader<'_>, from: usize) -> Result<usize, Wait> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'@');
    let mut at = from;
    while at - from < SEGMENT_BYTES_MAX && reader.byte(at)?.is_some_and(is_part) {
        at += 1;
    }
    Ok(at)
}
