// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which strings of the API are text, and one reading of a whole body: for masks, and for detectors.
//!
//! Everything is text, names of members too, except the words of the API that SDKs dispatch on (roles,
//! types) and payloads in base64. Ids and names are masked by hash, whatever the style of the mask, so
//! that what belonged together still does: the answer of a tool to its call, a call to its tool.
//! Lists of token probabilities repeat the answer in pieces that no detector can join: they become `null`.
//! A number that is masked becomes a string. Errs to masking. The content of files and images is not
//! looked at. Detectors look at what masks read, and also at what masks leave alone.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::mask::{DetectorSet, Look, Masker, Reading, Style};
use crate::model::{DetectorName, OpaqueCause};
use crate::protocol::json_text::{Edit, Editor, Step};

use super::MaskedBody;
use super::parts::read_body;

/// Where words stand that the API and the SDKs dispatch on; `*` is any item of a list.
const WORD_PLACES: [&str; 27] = [
    // Requests.
    "service_tier",
    "reasoning_effort",
    "verbosity",
    "modalities/*",
    "messages/*/role",
    "messages/*/tool_calls/*/type",
    "messages/*/content/*/type",
    "messages/*/content/*/image_url/detail",
    "messages/*/content/*/input_audio/format",
    "tools/*/type",
    "tool_choice",
    "tool_choice/type",
    "function_call",
    "response_format/type",
    // Answers.
    "object",
    "choices/*/finish_reason",
    "choices/*/message/role",
    "choices/*/message/annotations/*/type",
    "choices/*/message/tool_calls/*/type",
    "choices/*/message/reasoning_details/*/type",
    "choices/*/delta/role",
    "choices/*/delta/annotations/*/type",
    "choices/*/delta/tool_calls/*/type",
    "choices/*/delta/reasoning_details/*/type",
    "error/type",
    "error/code",
    "error/param",
];

/// These words. Another one in such a place is text.
const WORDS: [&str; 58] = [
    // Roles.
    "assistant",
    "developer",
    "function",
    "system",
    "tool",
    "user",
    // Types.
    "allowed_tools",
    "audio",
    "chat.completion",
    "chat.completion.chunk",
    "custom",
    "file",
    "image_url",
    "input_audio",
    "json_object",
    "json_schema",
    "reasoning.encrypted",
    "reasoning.summary",
    "reasoning.text",
    "refusal",
    "text",
    "url_citation",
    // Reasons.
    "content_filter",
    "function_call",
    "length",
    "stop",
    "tool_calls",
    // Choices and degrees.
    "auto",
    "default",
    "flex",
    "high",
    "low",
    "max",
    "medium",
    "minimal",
    "none",
    "original",
    "priority",
    "required",
    "scale",
    "xhigh",
    // Sounds.
    "aac",
    "flac",
    "mp3",
    "opus",
    "pcm16",
    "wav",
    // Errors.
    "context_length_exceeded",
    "insufficient_quota",
    "invalid_api_key",
    "invalid_request_error",
    "messages",
    "model",
    "model_not_found",
    "rate_limit_exceeded",
    "rate_limit_error",
    "server_error",
    "tools",
];

/// Where ids and names stand that must still fit together after masking.
const NAME_PLACES: [&str; 27] = [
    // Requests.
    "model",
    "messages/*/tool_call_id",
    "messages/*/audio/id",
    "messages/*/function_call/name",
    "messages/*/tool_calls/*/id",
    "messages/*/tool_calls/*/function/name",
    "messages/*/tool_calls/*/custom/name",
    "messages/*/content/*/file/file_id",
    "tools/*/function/name",
    "tools/*/custom/name",
    "functions/*/name",
    "tool_choice/function/name",
    "tool_choice/custom/name",
    "function_call/name",
    "response_format/json_schema/name",
    // Answers.
    "id",
    "system_fingerprint",
    "choices/*/message/audio/id",
    "choices/*/message/function_call/name",
    "choices/*/message/tool_calls/*/id",
    "choices/*/message/tool_calls/*/function/name",
    "choices/*/message/tool_calls/*/custom/name",
    "choices/*/delta/audio/id",
    "choices/*/delta/function_call/name",
    "choices/*/delta/tool_calls/*/id",
    "choices/*/delta/tool_calls/*/function/name",
    "choices/*/delta/tool_calls/*/custom/name",
];

/// Where payloads stand in a content part: in which member, and where in that.
pub(super) const PART_PAYLOADS: [(&str, &str); 3] =
    [("image_url", "url"), ("input_audio", "data"), ("file", "file_data")];

/// Where payloads stand in answers.
const ANSWER_PAYLOADS: [&str; 2] = ["choices/*/message/audio/data", "choices/*/delta/audio/data"];

/// Where numbers stand that SDKs dispatch on or account with; all of `usage` as well.
const NUMBERS: [&str; 6] = [
    "created",
    "max_tokens",
    "max_completion_tokens",
    "choices/*/index",
    "choices/*/message/tool_calls/*/index",
    "choices/*/delta/tool_calls/*/index",
];
/// Longest such number, in digits: seconds since 1970 have ten, a card number thirteen.
const NUMBER_BYTES_MAX: usize = 10;

/// Shortest bare base64 that is taken for a payload, in bytes: a shorter one may be a word or a number.
const PAYLOAD_BYTES_MIN: usize = 64;
/// Longest media type of a payload, in bytes.
const MEDIA_TYPE_BYTES_MAX: usize = 64;

/// Whether a text is a word that is never masked, whatever detectors say.
pub(super) fn is_word(path: &[Step], text: &str) -> bool {
    WORDS.contains(&text) && is_one_of(path, &WORD_PLACES)
}

/// Whether ids or names stand here.
pub(super) fn is_name_place(path: &[Step]) -> bool {
    is_one_of(path, &NAME_PLACES)
}

/// Whether a number is one that SDKs count or time with, and too short for what a detector is there for.
fn is_plain_number(path: &[Step], number: &str) -> bool {
    let is_usage = matches!(path, [Step::Key(first), ..] if first == "usage");
    let is_short = number.len() <= NUMBER_BYTES_MAX && number.bytes().all(|b| b.is_ascii_digit());
    is_short && (is_usage || is_one_of(path, &NUMBERS))
}

/// Where the provider repeats the answer token by token.
pub(super) fn is_token_list(path: &[Step]) -> bool {
    is_one_of(path, &["choices/*/logprobs"])
}

fn is_one_of(path: &[Step], patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| matches(path, pattern))
}

fn matches(path: &[Step], pattern: &str) -> bool {
    let mut parts = pattern.split('/');
    let is_next = |step: &Step| match step {
        Step::Key(name) => parts.next() == Some(name) && name != "*",
        Step::Item(_) => parts.next() == Some("*"),
    };
    path.iter().all(is_next) && parts.next().is_none()
}

/// Whether the API has a payload at this place.
pub(super) fn is_payload_place(path: &[Step]) -> bool {
    let [place @ .., Step::Key(kind), Step::Key(field)] = path else { return false };
    let is_it = |part: &(&str, &str)| part.0 == kind && part.1 == field;
    (matches(place, "messages/*/content/*") && PART_PAYLOADS.iter().any(is_it))
        || is_one_of(path, &ANSWER_PAYLOADS)
}

/// The media type of a text that is a payload, empty for a bare one. Nothing for what only stands where a
/// payload should: it is text.
pub(super) fn media_type(text: &str) -> Option<&str> {
    let Some(rest) = text.strip_prefix("data:") else {
        return (text.len() >= PAYLOAD_BYTES_MIN && is_base64(text)).then_some("");
    };
    let (media_type, payload) = rest.split_once(";base64,")?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-./".contains(&byte);
    let is_media_type = media_type.len() <= MEDIA_TYPE_BYTES_MAX && media_type.bytes().all(is_part);
    (is_media_type && is_base64(payload)).then_some(media_type)
}

/// Canonical base64 (RFC 4648 section 4): its alphabet, whole groups, at most two `=` at the end.
pub(super) fn is_base64(text: &str) -> bool {
    let payload = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    text.len().is_multiple_of(4) && payload.bytes().all(is_part)
}

/// Masks a whole body.
pub(super) fn mask_body(body: &[u8], masker: &Masker) -> Result<MaskedBody, OpaqueCause> {
    let mut masking = MaskTexts { masker, count: 0 };
    let bytes = read_body(body, &mut masking)?.into_owned();
    Ok(MaskedBody { bytes, count: masking.count })
}

/// The detectors that find something in a whole body.
pub(super) fn detect_body(
    body: &[u8],
    detectors: &DetectorSet,
) -> Result<BTreeSet<DetectorName>, OpaqueCause> {
    let mut look = detectors.look();
    if !detectors.is_empty() {
        read_body(body, &mut look)?;
    }
    Ok(look.names())
}

/// What is done with the texts that the one reading of a body comes upon.
pub(super) trait Reader {
    /// Whether what repeats the answer token by token becomes `null`.
    const DROPS_TOKEN_LISTS: bool;

    /// A text that may be JSON itself, or an id or a name; what it becomes if it changes.
    fn text(&mut self, text: &str, is_name: bool) -> Option<String>;

    /// A number as written; what it becomes if it changes.
    fn number(&mut self, number: &str) -> Option<String>;

    /// The parts of one text; what each becomes if it changes.
    fn parts(&mut self, parts: &[&str], readings: &[Reading]) -> Vec<Option<String>>;

    /// True if the media type of a payload changes; then the payload is a text.
    fn is_touched(&self, media_type: &str) -> bool;

    /// A text or a number that stays, whatever is in it.
    fn exempt(&mut self, text: &str);
}

/// Masks every text as a whole.
pub(super) struct MaskTexts<'m> {
    pub(super) masker: &'m Masker,
    /// Places masked.
    pub(super) count: u64,
}

impl Reader for MaskTexts<'_> {
    const DROPS_TOKEN_LISTS: bool = true;

    fn text(&mut self, text: &str, is_name: bool) -> Option<String> {
        let masked = if is_name {
            self.masker.with_style(Style::Hash).mask_text(text)
        } else {
            self.masker.mask_text(text)
        };
        self.count += masked.count;
        (masked.count > 0).then(|| masked.text.into_owned())
    }

    fn number(&mut self, number: &str) -> Option<String> {
        let masked = self.masker.mask_number(number);
        self.count += masked.count;
        (masked.count > 0).then(|| masked.text.into_owned())
    }

    fn parts(&mut self, parts: &[&str], readings: &[Reading]) -> Vec<Option<String>> {
        let masked = self.masker.mask_readings(parts, readings);
        self.count += masked.count;
        let change = |text| if let Cow::Owned(text) = text { Some(text) } else { None };
        masked.texts.into_iter().map(change).collect()
    }

    fn is_touched(&self, media_type: &str) -> bool {
        self.masker.mask(media_type).count > 0
    }

    fn exempt(&mut self, _text: &str) {}
}

impl Reader for Look<'_> {
    const DROPS_TOKEN_LISTS: bool = false;

    fn text(&mut self, text: &str, _is_name: bool) -> Option<String> {
        Look::text(self, text);
        None
    }

    fn number(&mut self, number: &str) -> Option<String> {
        Look::number(self, number);
        None
    }

    fn parts(&mut self, parts: &[&str], readings: &[Reading]) -> Vec<Option<String>> {
        Look::parts(self, parts, readings);
        vec![None; parts.len()]
    }

    fn is_touched(&self, _media_type: &str) -> bool {
        true
    }

    fn exempt(&mut self, text: &str) {
        Look::text(self, text);
    }
}

fn edit(change: Option<String>) -> Edit {
    change.map_or(Edit::Keep, Edit::Text)
}

/// Reads a string at its path.
pub(super) fn read_text(reader: &mut impl Reader, path: &[Step], text: &str) -> Edit {
    let is_payload = || {
        let media_type = media_type(text).filter(|_| is_payload_place(path));
        media_type.is_some_and(|media_type| !reader.is_touched(media_type))
    };
    if is_word(path, text) || is_payload() {
        reader.exempt(text);
        return Edit::Keep;
    }
    edit(reader.text(text, is_name_place(path)))
}

/// Reads a number at its path.
pub(super) fn read_number(reader: &mut impl Reader, path: &[Step], number: &str) -> Edit {
    if is_plain_number(path, number) {
        reader.exempt(number);
        return Edit::Keep;
    }
    edit(reader.number(number))
}

/// Each text for itself.
impl Editor for MaskTexts<'_> {
    fn text(&mut self, path: &[Step], text: &str) -> Edit {
        read_text(self, path, text)
    }

    fn number(&mut self, path: &[Step], number: &str) -> Edit {
        read_number(self, path, number)
    }

    fn name(&mut self, _path: &[Step], name: &str) -> Option<String> {
        Reader::text(self, name, false)
    }

    fn is_dropped(&mut self, path: &[Step]) -> bool {
        is_token_list(path)
    }
}
