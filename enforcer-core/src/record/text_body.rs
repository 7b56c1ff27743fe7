// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bodies that no codec understands, on their way into the record: text, masked piece by piece.
//!
//! JSON inside is followed, and fields of a form are read behind percent signs. What is no text in UTF-8 by its head or
//! by its bytes is not looked at, so it is not kept either. Nor is what brings one text in pieces (streams of events,
//! lines of JSON): no detector would see it whole.

use std::fmt;
use std::mem;

use crate::facts;
use crate::mask::{Masker, TextStream, hide_in_query};
use crate::model::limits::RECORDED_FIELD_BYTES_MAX;

/// Forms of which the values stand behind percent signs.
const FORM: &str = "application/x-www-form-urlencoded";
/// Media types that bring one text in pieces.
const PIECES: [&str; 1] = ["text/event-stream"];
/// Media types of text that are not called so; those that end in `+json` or `+xml` are beside them.
const TEXTS: [&str; 3] = ["application/json", "application/xml", "application/yaml"];
/// Character sets of which every text is one in UTF-8.
const CHARSETS: [&str; 2] = ["utf-8", "us-ascii"];

/// The bytes are no text, or one that cannot be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read a body: it is not a text in UTF-8, or a field of a form is too long")]
pub struct NotText;

/// Masks one body: whatever the pieces, the outputs together are the same.
#[derive(Clone)]
pub struct TextBody {
    reading: Reading,
    /// The first bytes of a character.
    cut: Vec<u8>,
}

#[derive(Clone)]
enum Reading {
    Form { masker: Masker, field: String },
    Text(Box<TextStream>),
}

impl fmt::Debug for TextBody {
    /// Without the text: what is held back may be what must not be written anywhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextBody").finish_non_exhaustive()
    }
}

impl TextBody {
    /// What masks a body with these headers, names in lower case; nothing if they do not say that it is text.
    #[must_use]
    pub fn of<'h>(
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        masker: &Masker,
    ) -> Option<Self> {
        let mut kind = None;
        for (name, value) in headers {
            match name {
                "content-encoding" if !value.eq_ignore_ascii_case(b"identity") => return None,
                // Two readers may take different ones.
                "content-type" if kind.is_some() => return None,
                "content-type" => kind = Some(str::from_utf8(value).ok()?.to_ascii_lowercase()),
                _ => {}
            }
        }
        let kind = kind?;
        let mut parts = kind.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let charsets = parts.filter_map(|part| part.strip_prefix("charset="));
        let is_utf8 = |charset: &str| CHARSETS.contains(&charset.trim_matches('"'));
        if !charsets.into_iter().all(is_utf8) {
            return None;
        }
        let reading = if essence == FORM {
            Reading::Form { masker: masker.clone(), field: String::new() }
        } else if is_text(essence) {
            Reading::Text(Box::new(masker.text_stream()))
        } else {
            return None;
        };
        Some(Self { reading, cut: Vec::new() })
    }

    /// Takes the next bytes and returns what is decided, masked.
    ///
    /// # Errors
    /// When they are no text. Nothing of the body may be kept then: what came before may be half of something.
    pub fn push(&mut self, bytes: &[u8]) -> Result<String, NotText> {
        self.cut.extend_from_slice(bytes);
        let mut bytes = mem::take(&mut self.cut);
        if let Err(error) = str::from_utf8(&bytes) {
            if error.error_len().is_some() {
                return Err(NotText);
            }
            self.cut = bytes.split_off(error.valid_up_to());
        }
        let text = String::from_utf8(bytes).map_err(|_not_utf8| NotText)?;
        // UTF-16 and its kin would be text in UTF-8 that no detector can read.
        if text.contains('\0') {
            return Err(NotText);
        }
        match &mut self.reading {
            Reading::Text(stream) => Ok(stream.push(&text)),
            Reading::Form { masker, field } => fields(masker, field, &text),
        }
    }

    /// Ends the body and returns the rest.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(mut self) -> Result<String, NotText> {
        if !self.cut.is_empty() {
            return Err(NotText);
        }
        Ok(match &mut self.reading {
            Reading::Text(stream) => stream.finish(),
            Reading::Form { masker, field } => masked_field(field, masker),
        })
    }
}

fn is_text(essence: &str) -> bool {
    let is_kin = essence.ends_with("+json") || essence.ends_with("+xml");
    let is_text = essence.starts_with("text/") || TEXTS.contains(&essence) || is_kin;
    is_text && !PIECES.contains(&essence)
}

/// A field of a form, `name=value`, as it may be recorded.
fn masked_field(field: &str, masker: &Masker) -> String {
    facts::masked(&hide_in_query(field), masker)
}

/// Masks the fields of a form that are whole; the last one stays open.
fn fields(masker: &Masker, open: &mut String, text: &str) -> Result<String, NotText> {
    let mut masked = String::new();
    for (index, part) in text.split('&').enumerate() {
        if index > 0 {
            masked.push_str(&masked_field(&mem::take(open), masker));
            masked.push('&');
        }
        if open.len() + part.len() > RECORDED_FIELD_BYTES_MAX {
            return Err(NotText);
        }
        open.push_str(part);
    }
    Ok(masked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mask::{Builtin, DetectorKind, DetectorSpec, Style};
    use crate::model::DetectorName;

    const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

    fn body(kind: &str) -> Option<TextBody> {
        encoded(kind, "identity")
    }

    fn encoded(kind: &str, encoding: &str) -> Option<TextBody> {
        let spec = |it: Builtin| DetectorSpec {
            name: DetectorName::new(it.name()),
            kind: DetectorKind::Builtin(it),
        };
        let masker = Masker::new(Builtin::ALL.map(|it| (spec(it), Style::Label)).to_vec()).unwrap();
        let headers = [("content-type", kind), ("content-encoding", encoding)];
        TextBody::of(headers.map(|(name, value)| (name, value.as_bytes())), &masker)
    }

    fn masked(kind: &str, pieces: &[&[u8]]) -> Result<String, NotText> {
        let mut body = body(kind).unwrap_or_else(|| panic!("{kind} is text"));
        let mut out = String::new();
        for piece in pieces {
            out += &body.push(piece)?;
        }
        Ok(out + &body.finish()?)
    }

    #[test]
    fn only_what_is_text_by_its_head_is_looked_at() {
        for kind in ["application/json", "Text/Plain; charset=UTF-8", "application/problem+json"] {
            assert!(body(kind).is_some() && encoded(kind, "gzip").is_none(), "{kind}");
        }
        for kind in [
            "",
            "application/octet-stream",
            "application/x-ndjson",
            "multipart/form-data; boundary=x",
            "text/event-stream",
            "text/plain; charset=utf-16",
            "text/plain;charset=\"utf-7\"",
        ] {
            assert!(body(kind).is_none(), "{kind}");
        }
        let twice = [("content-type", b"text/plain".as_slice()); 2];
        assert!(TextBody::of(twice, &Masker::default()).is_none());
        assert!(TextBody::of([], &Masker::default()).is_none());
    }

    #[test]
    fn bytes_that_are_no_text_end_it() {
        for bytes in [b"a\xff".as_slice(), b"A\0K\0", "é".as_bytes().get(..1).unwrap()] {
            assert_eq!(masked("text/plain", &[bytes]), Err(NotText), "{bytes:?}");
        }
        let long = vec![b'x'; RECORDED_FIELD_BYTES_MAX + 1];
        assert_eq!(masked(FORM, &[&long]), Err(NotText));
    }

    #[test]
    fn text_json_and_forms_are_read_as_their_readers_do() {
        let check = |kind: &str, text: &str, expect: &str| {
            assert_eq!(masked(kind, &[text.as_bytes()]).unwrap(), expect);
        };
        check("text/plain", &format!("é {KEY}."), "é [aws-access-key].");
        check(
            "application/json",
            r#"{"k":"AKIA\u0049OSFODNN7EXAMPLE"}"#,
            r#"{"k":"[aws-access-key]"}"#,
        );
        check("application/json", r#"{"card":4111111111111111}"#, r#"{"card":"[credit-card]"}"#);
        check(
            FORM,
            "a=1&to=ann%40example.com+&k=AK%49AIOSFODNN7EXAMPLE",
            "a=1&to=[email]+&k=[aws-access-key]",
        );
    }

    proptest! {
        #[test]
        fn every_chunking_of_a_body_gives_the_same(
            parts in prop::collection::vec(prop::sample::select(vec![
                KEY, "AKIA", "é", "漢", "&", "=", "%41", "ann%40example.com", "{\"a\":\"", "\"}", " ", "sk-ant-",
                "0123456789abcdef", "\n",
            ]), 0..12),
            cuts in prop::collection::vec(1_usize..7, 1..20),
            is_form: bool,
        ) {
            let kind = if is_form { FORM } else { "text/plain" };
            let text = parts.concat();
            let mut rest = text.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts.iter().cycle() {
                let (piece, tail) = rest.split_at(rest.len().min(*cut));
                pieces.push(piece);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            let whole = masked(kind, &[text.as_bytes()]).unwrap();
            prop_assert_eq!(&whole, &masked(kind, &pieces).unwrap());
            prop_assert!(!whole.contains(KEY), "{}", whole);
        }
    }
}
