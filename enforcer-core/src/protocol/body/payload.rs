// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Payloads in base64: pictures, sounds and files inside JSON, and what a provider encrypted for itself.

/// Shortest bare base64 that is taken for a payload, in bytes: a shorter one may be a word or a number.
const PAYLOAD_BYTES_MIN: usize = 64;
/// Longest media type of a payload, in bytes.
const MEDIA_TYPE_BYTES_MAX: usize = 64;

/// The media type of a text that is a payload, empty for a bare one. Nothing for what only stands where a
/// payload should: it is text.
#[must_use]
pub fn media_type(text: &str) -> Option<&str> {
    let Some(rest) = text.strip_prefix("data:") else {
        let is_payload = is_base64(text) || is_encrypted(text);
        return (text.len() >= PAYLOAD_BYTES_MIN && is_payload).then_some("");
    };
    let (media_type, payload) = rest.split_once(";base64,")?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-./".contains(&byte);
    let is_media_type = media_type.len() <= MEDIA_TYPE_BYTES_MAX && media_type.bytes().all(is_part);
    (is_media_type && is_base64(payload)).then_some(media_type)
}

/// A Fernet token (github.com/fernet/spec): the version and the first bytes of the time in base64url. OpenAI has
/// reasoning and compacted chats in this form (`encrypted_content`); only the provider can read them.
fn is_encrypted(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte);
    text.starts_with("gAAAAA") && text.bytes().all(is_part)
}

/// Canonical base64 (RFC 4648 section 4): its alphabet, whole groups, at most two `=` at the end.
#[must_use]
pub fn is_base64(text: &str) -> bool {
    let payload = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    text.len().is_multiple_of(4) && payload.bytes().all(is_part)
}
