// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is done with each text of a body: it is masked, or looked at.

use std::borrow::Cow;

use crate::mask::{Look, Masker, Reading, Style};
use crate::protocol::json_text::{Edit, Editor, Step};

use super::payload::media_type;
use super::tables::Tables;

/// What is done with the texts that the one reading of a body comes upon.
pub(in crate::protocol) trait Reader {
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
pub(in crate::protocol) struct MaskTexts<'m> {
    pub(in crate::protocol) masker: &'m Masker,
    pub(in crate::protocol) tables: &'static Tables,
    /// Places masked.
    pub(in crate::protocol) count: u64,
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
pub(super) fn read_text(
    tables: &Tables,
    reader: &mut impl Reader,
    path: &[Step],
    text: &str,
) -> Edit {
    let is_payload = || {
        let media_type = media_type(text).filter(|_| tables.is_payload_place(path));
        media_type.is_some_and(|media_type| !reader.is_touched(media_type))
    };
    if tables.is_word(path, text) || is_payload() {
        reader.exempt(text);
        return Edit::Keep;
    }
    edit(reader.text(text, tables.is_name_place(path)))
}

/// Reads a number at its path.
pub(super) fn read_number(
    tables: &Tables,
    reader: &mut impl Reader,
    path: &[Step],
    number: &str,
) -> Edit {
    if tables.is_plain_number(path, number) {
        reader.exempt(number);
        return Edit::Keep;
    }
    edit(reader.number(number))
}

/// Each text for itself.
impl Editor for MaskTexts<'_> {
    fn text(&mut self, path: &[Step], text: &str) -> Edit {
        read_text(self.tables, self, path, text)
    }

    fn number(&mut self, path: &[Step], number: &str) -> Edit {
        read_number(self.tables, self, path, number)
    }

    fn name(&mut self, _path: &[Step], name: &str) -> Option<String> {
        Reader::text(self, name, false)
    }

    fn is_dropped(&mut self, path: &[Step]) -> bool {
        self.tables.is_token_list(path)
    }
}
