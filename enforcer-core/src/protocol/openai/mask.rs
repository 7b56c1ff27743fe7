// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which strings of the API are text, and masking of a whole body.
//!
//! Everything is text, names of members too, except what the API and the SDKs dispatch on (models, roles,
//! types, ids, names of functions) as long as it is written like an identifier, and payloads in base64.
//! Lists of token probabilities repeat the answer in pieces that no detector can join: they become `null`.
//! A number that is masked becomes a string. Errs to masking. The content of files and images is not
//! looked at.

use crate::mask::Masker;
use crate::model::OpaqueCause;
use crate::protocol::json_text::{Edit, Editor, Step, rewrite};

use super::MaskedBody;

/// Longest string that is taken for an identifier, in bytes.
const IDENTIFIER_BYTES_MAX: usize = 256;

/// Where identifiers stand; `*` is any item of a list.
const IDENTIFIERS: [&str; 54] = [
    // Requests.
    "model",
    "service_tier",
    "reasoning_effort",
    "verbosity",
    "modalities/*",
    "messages/*/role",
    "messages/*/tool_call_id",
    "messages/*/audio/id",
    "messages/*/function_call/name",
    "messages/*/tool_calls/*/id",
    "messages/*/tool_calls/*/type",
    "messages/*/tool_calls/*/function/name",
    "messages/*/tool_calls/*/custom/name",
    "messages/*/content/*/type",
    "messages/*/content/*/image_url/detail",
    "messages/*/content/*/input_audio/format",
    "messages/*/content/*/file/file_id",
    "tools/*/type",
    "tools/*/function/name",
    "tools/*/custom/name",
    "functions/*/name",
    "tool_choice",
    "tool_choice/type",
    "tool_choice/function/name",
    "tool_choice/custom/name",
    "function_call",
    "function_call/name",
    "response_format/type",
    "response_format/json_schema/name",
    // Answers.
    "id",
    "object",
    "system_fingerprint",
    "choices/*/finish_reason",
    "choices/*/message/role",
    "choices/*/message/audio/id",
    "choices/*/message/function_call/name",
    "choices/*/message/annotations/*/type",
    "choices/*/message/tool_calls/*/id",
    "choices/*/message/tool_calls/*/type",
    "choices/*/message/tool_calls/*/function/name",
    "choices/*/message/tool_calls/*/custom/name",
    "choices/*/delta/role",
    "choices/*/delta/audio/id",
    "choices/*/delta/function_call/name",
    "choices/*/delta/annotations/*/type",
    "choices/*/delta/tool_calls/*/id",
    "choices/*/delta/tool_calls/*/type",
    "choices/*/delta/tool_calls/*/function/name",
    "choices/*/delta/tool_calls/*/custom/name",
    "error/type",
    "error/code",
    "error/param",
    "choices/*/message/reasoning_details/*/type",
    "choices/*/delta/reasoning_details/*/type",
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

/// What is not to be masked, whatever detectors say.
pub(super) fn is_structural(path: &[Step], text: &str) -> bool {
    is_identifier(text) && is_one_of(path, &IDENTIFIERS)
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

fn is_identifier(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    text.len() <= IDENTIFIER_BYTES_MAX && text.bytes().all(is_part)
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
    let mut editor = MaskTexts { masker, count: 0 };
    let bytes = rewrite(body, &mut editor)?.into_owned();
    Ok(MaskedBody { bytes, count: editor.count })
}

/// Masks every text as a whole.
pub(super) struct MaskTexts<'m> {
    pub(super) masker: &'m Masker,
    /// Places masked.
    pub(super) count: u64,
}

impl Editor for MaskTexts<'_> {
    fn text(&mut self, path: &[Step], text: &str) -> Edit {
        let is_payload = || {
            let media_type = media_type(text).filter(|_| is_payload_place(path));
            media_type.is_some_and(|media_type| self.masker.mask(media_type).count == 0)
        };
        if is_structural(path, text) || is_payload() {
            return Edit::Keep;
        }
        let masked = self.masker.mask_text(text);
        self.count += masked.count;
        if masked.count == 0 { Edit::Keep } else { Edit::Text(masked.text.into_owned()) }
    }

    fn number(&mut self, path: &[Step], number: &str) -> Edit {
        if is_plain_number(path, number) {
            return Edit::Keep;
        }
        let masked = self.masker.mask_number(number);
        self.count += masked.count;
        if masked.count == 0 { Edit::Keep } else { Edit::Text(masked.text.into_owned()) }
    }

    fn name(&mut self, _path: &[Step], name: &str) -> Option<String> {
        let masked = self.masker.mask(name);
        self.count += masked.count;
        (masked.count > 0).then(|| masked.text.into_owned())
    }

    fn is_dropped(&mut self, path: &[Step]) -> bool {
        is_token_list(path)
    }
}
