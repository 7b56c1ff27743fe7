// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The texts of a streamed answer, masked across its chunks.
//!
//! Every text below a choice is followed: one masker for each choice and place. What a masker holds back comes
//! out with a later piece, at the latest with or before the chunk that finishes the choice; chunks are
//! made up for it where the provider sends none. A text after the finish of its choice ends the stream, since
//! what came before it is out already. Strings elsewhere are masked each for itself. Bounded: at most
//! [`STREAM_TEXTS_MAX`] texts at once, and [`STREAM_PLACES_BYTES_MAX`] bytes to remember where they stand.

use std::collections::BTreeSet;
use std::mem;

use serde_json::{Map, Value, json};

use crate::mask::{Masker, TextStream};
use crate::model::limits::{MASK_HOLD_BYTES_MAX, STREAM_PLACES_BYTES_MAX, STREAM_TEXTS_MAX};
use crate::protocol::body::{MaskTexts, Tables, is_base64, media_type};
use crate::protocol::json_text::{Edit, Editor, Step, rewrite};
use crate::protocol::json_tree::Node;
use crate::protocol::sse;

use super::error::StreamError;
use super::place::{Place, choices, is_finished, place_of};

/// Bytes of a member that chunks made up for a text repeat; a longer one is left out.
const COMMON_BYTES_MAX: usize = 256;

/// The texts of a stream that is masked.
#[derive(Clone)]
pub(super) struct Masking {
    masker: Masker,
    tables: &'static Tables,
    /// Every text is followed beside this one, which has none.
    first: TextStream,
    texts: Vec<Text>,
    /// Places where a payload arrives.
    payloads: Vec<Place>,
    /// Ids and names, with their last bytes.
    names: Vec<(Place, String)>,
    /// Bytes of all these places.
    places_bytes: usize,
    /// Choices that are finished.
    finished: BTreeSet<u64>,
    /// What chunks that are made up have in common with those of the provider.
    common: Map<String, Value>,
    /// Places masked outside `texts`.
    count: u64,
}

/// One text that arrives piece by piece.
#[derive(Clone)]
struct Text {
    place: Place,
    stream: TextStream,
}

impl Masking {
    pub(super) fn new(tables: &'static Tables, masker: Masker) -> Self {
        Self {
            first: masker.text_stream(),
            masker,
            tables,
            texts: Vec::new(),
            payloads: Vec::new(),
            names: Vec::new(),
            places_bytes: 0,
            finished: BTreeSet::new(),
            common: Map::new(),
            count: 0,
        }
    }

    fn editor(&self) -> MaskTexts<'_> {
        MaskTexts { masker: &self.masker, tables: self.tables, count: 0 }
    }

    pub(super) fn count(&self) -> u64 {
        self.count + self.texts.iter().map(|text| text.stream.count()).sum::<u64>()
    }

    pub(super) fn chunk(
        &mut self,
        event: &sse::Event,
        data: &[u8],
        chunk: &Node<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        self.remember(chunk);
        let finishing: BTreeSet<u64> =
            choices(chunk).filter(|(_, it)| is_finished(it)).map(|it| it.0).collect();
        let last = if finishing.is_empty() {
            Vec::new()
        } else {
            pieces_of(self.tables, data, chunk, &finishing)?
        };
        let mut editor =
            MaskChunk { masking: self, chunk, finishing: &finishing, last, fault: None };
        let masked = rewrite(data, &mut editor).map_err(|_cause| StreamError::NotJson)?;
        if let Some(fault) = editor.fault {
            return Err(fault);
        }
        // Before the finish of a choice comes what its other texts hold back.
        if !finishing.is_empty() {
            self.release(|choice| finishing.contains(&choice), out);
            self.finished.extend(finishing);
        }
        let is_as_sent = event.data.as_deref() == Some(masked.as_ref());
        out.extend_from_slice(&event.without_texts((!is_as_sent).then_some(masked.as_ref()), None));
        Ok(())
    }

    fn remember(&mut self, chunk: &Node<'_>) {
        for name in ["id", "object", "created", "model", "system_fingerprint", "service_tier"] {
            let path = [Step::Key(name.to_owned())];
            // Not counted here: the chunk itself is masked as well.
            let mut editor = MaskTexts { masker: &self.masker, tables: self.tables, count: 0 };
            let (value, edit) = match chunk.at(name) {
                Some(Node::String(text)) if text.len() <= COMMON_BYTES_MAX => {
                    (Value::from(text.as_ref()), editor.text(&path, text))
                }
                Some(Node::Number(number)) => {
                    (Value::from(number.clone()), editor.number(&path, &number.to_string()))
                }
                _ => continue,
            };
            let value = match edit {
                Edit::Keep => value,
                Edit::Null => Value::Null,
                Edit::Text(text) => Value::from(text),
            };
            self.common.insert(name.to_owned(), value);
        }
    }

    /// Ends the texts of some choices; what they held back becomes chunks.
    pub(super) fn release(&mut self, is_ended: impl Fn(u64) -> bool, out: &mut Vec<u8>) {
        for mut text in mem::take(&mut self.texts) {
            if !is_ended(text.place.choice) {
                self.texts.push(text);
                continue;
            }
            self.places_bytes = self.places_bytes.saturating_sub(text.place.bytes());
            let held = text.stream.finish();
            self.count += text.stream.count();
            if !held.is_empty() {
                let mut chunk = self.common.clone();
                let path: Vec<Step> = text.place.path.iter().map(|step| self.shown(step)).collect();
                let delta = path.iter().rev().fold(Value::from(held), wrap);
                let choice =
                    json!({ "index": text.place.choice, "delta": delta, "finish_reason": null });
                chunk.insert("choices".to_owned(), json!([choice]));
                out.extend_from_slice(format!("data: {}\n\n", Value::from(chunk)).as_bytes());
            }
        }
    }

    /// A step of a place as the agent may see it: the provider chose the name.
    fn shown(&self, step: &Step) -> Step {
        match step {
            Step::Key(name) => {
                // Counted where it arrived.
                let mut editor = MaskTexts { masker: &self.masker, tables: self.tables, count: 0 };
                Step::Key(editor.name(&[], name).unwrap_or_else(|| name.clone()))
            }
            Step::Item(index) => Step::Item(*index),
        }
    }

    /// Makes room to remember one more place.
    fn remember_place(&mut self, place: &Place, others: usize) -> Result<(), StreamError> {
        let bytes = self.places_bytes.saturating_add(place.bytes());
        if others >= STREAM_TEXTS_MAX || bytes > STREAM_PLACES_BYTES_MAX {
            return Err(StreamError::TooManyTexts);
        }
        self.places_bytes = bytes;
        Ok(())
    }

    /// Whether the next piece at a place goes on as it is because it belongs to a payload: the first piece
    /// shows that, every further one is base64, and none before was followed as text.
    fn is_payload(&mut self, place: &Place, piece: &str) -> bool {
        if self.payloads.contains(place) {
            let goes_on = is_base64(piece);
            if !goes_on {
                self.payloads.retain(|payload| payload != place);
            }
            return goes_on;
        }
        let is_text = self.texts.iter().any(|text| text.place == *place);
        let begins = !is_text
            && media_type(piece) == Some("")
            && self.remember_place(place, self.payloads.len()).is_ok();
        if begins {
            self.payloads.push(place.clone());
        }
        begins
    }

    /// Ids and names come whole and are masked so. Pieces that are something to mask only together cannot
    /// be masked any more, so they end the stream.
    fn check_name(&mut self, place: Place, piece: &str) -> Result<(), StreamError> {
        let index = match self.names.iter().position(|name| name.0 == place) {
            Some(index) => index,
            None => {
                self.remember_place(&place, self.names.len())?;
                self.names.push((place, String::new()));
                self.names.len() - 1
            }
        };
        let Some((_, seen)) = self.names.get_mut(index) else { return Ok(()) };
        let count = |text: &str| self.masker.mask_text(text).count;
        let apart = if seen.is_empty() { None } else { Some(count(seen) + count(piece)) };
        seen.push_str(piece);
        let is_split = apart.is_some_and(|apart| count(seen) != apart);
        let start = seen.floor_char_boundary(seen.len().saturating_sub(MASK_HOLD_BYTES_MAX));
        seen.drain(..start);
        if is_split { Err(StreamError::SplitName) } else { Ok(()) }
    }

    /// Masks the next piece of a text.
    fn delta(&mut self, place: Place, piece: &str, is_last: bool) -> Result<String, StreamError> {
        let index = match self.texts.iter().position(|text| text.place == place) {
            Some(index) => index,
            None => {
                self.remember_place(&place, self.texts.len())?;
                self.texts.push(Text { place, stream: self.first.beside() });
                self.texts.len() - 1
            }
        };
        let Some(text) = self.texts.get_mut(index) else { return Ok(String::new()) };
        let mut masked = text.stream.push(piece);
        if is_last {
            masked.push_str(&text.stream.finish());
        }
        Ok(masked)
    }
}

/// Builds the value around another one.
fn wrap(inner: Value, step: &Step) -> Value {
    match (step, inner) {
        (Step::Key(name), inner) => Value::from(Map::from_iter([(name.clone(), inner)])),
        (Step::Item(index), Value::Object(members)) => {
            let mut item = Map::from_iter([("index".to_owned(), Value::from(*index))]);
            item.extend(members);
            Value::from(vec![Value::from(item)])
        }
        (Step::Item(_), inner) => Value::from(vec![inner]),
    }
}

/// The places of the strings of choices that finish, one entry for each string.
fn pieces_of(
    tables: &'static Tables,
    data: &[u8],
    chunk: &Node<'_>,
    finishing: &BTreeSet<u64>,
) -> Result<Vec<Place>, StreamError> {
    let mut editor = Pieces { tables, chunk, finishing, places: Vec::new() };
    rewrite(data, &mut editor).map_err(|_cause| StreamError::NotJson)?;
    if editor.places.len() > STREAM_TEXTS_MAX {
        return Err(StreamError::TooManyTexts);
    }
    Ok(editor.places)
}

/// Finds the strings of choices that finish; changes nothing.
struct Pieces<'m> {
    tables: &'static Tables,
    chunk: &'m Node<'m>,
    finishing: &'m BTreeSet<u64>,
    places: Vec<Place>,
}

impl Editor for Pieces<'_> {
    fn text(&mut self, path: &[Step], text: &str) -> Edit {
        let is_piece = !self.tables.is_word(path, text) && !self.tables.is_name_place(path);
        let place = is_piece.then(|| place_of(self.chunk, path)).flatten();
        let place = place.filter(|place| self.finishing.contains(&place.choice));
        // One more than the bound says that it is passed.
        if let Some(place) = place.filter(|_| self.places.len() <= STREAM_TEXTS_MAX) {
            self.places.push(place);
        }
        Edit::Keep
    }
    fn number(&mut self, _path: &[Step], _number: &str) -> Edit {
        Edit::Keep
    }
    fn name(&mut self, _path: &[Step], _name: &str) -> Option<String> {
        None
    }
    fn is_dropped(&mut self, path: &[Step]) -> bool {
        self.tables.is_token_list(path)
    }
}

/// Masks the strings of one chunk.
struct MaskChunk<'m> {
    masking: &'m mut Masking,
    chunk: &'m Node<'m>,
    finishing: &'m BTreeSet<u64>,
    /// Where pieces of the choices that finish are still to come.
    last: Vec<Place>,
    fault: Option<StreamError>,
}

impl MaskChunk<'_> {
    /// Whether no piece of this text follows, in this chunk or later.
    fn is_last(&mut self, place: &Place) -> bool {
        let at = self.last.iter().position(|other| other == place);
        let Some(at) = at else { return false };
        self.last.swap_remove(at);
        !self.last.contains(place)
    }

    fn whole(&mut self, edit: impl FnOnce(&mut MaskTexts<'_>) -> Edit) -> Edit {
        let mut editor = self.masking.editor();
        let edited = edit(&mut editor);
        let count = editor.count;
        self.masking.count += count;
        edited
    }

    /// A text that cannot be followed ends the stream.
    fn fail(&mut self, fault: StreamError) -> Edit {
        self.fault = self.fault.or(Some(fault));
        Edit::Null
    }

    fn piece(&mut self, path: &[Step], place: Place, text: &str) -> Edit {
        let is_name = self.masking.tables.is_name_place(path) || is_reason(&place);
        let is_last = !is_name && self.finishing.contains(&place.choice) && self.is_last(&place);
        if text.is_empty() && !is_last {
            return Edit::Keep;
        }
        if !text.is_empty() && self.masking.finished.contains(&place.choice) {
            return self.fail(StreamError::AfterFinish);
        }
        if self.masking.tables.is_payload_place(path) && self.masking.is_payload(&place, text) {
            return Edit::Keep;
        }
        if is_name {
            if let Err(fault) = self.masking.check_name(place, text) {
                return self.fail(fault);
            }
            return self.whole(|editor| editor.text(path, text));
        }
        match self.masking.delta(place, text, is_last) {
            Ok(masked) if masked == text => Edit::Keep,
            Ok(masked) => Edit::Text(masked),
            Err(fault) => self.fail(fault),
        }
    }
}

/// Whether this is a word that comes whole, known to the tables or not.
fn is_reason(place: &Place) -> bool {
    let is_reason = |name: &str| matches!(name, "finish_reason" | "native_finish_reason" | "role");
    matches!(place.path.as_slice(), [Step::Key(name)] if is_reason(name))
}

impl Editor for MaskChunk<'_> {
    fn text(&mut self, path: &[Step], text: &str) -> Edit {
        if self.masking.tables.is_word(path, text) {
            return Edit::Keep;
        }
        match place_of(self.chunk, path) {
            Some(place) => self.piece(path, place, text),
            None => self.whole(|editor| editor.text(path, text)),
        }
    }

    fn number(&mut self, path: &[Step], number: &str) -> Edit {
        self.whole(|editor| editor.number(path, number))
    }

    fn name(&mut self, path: &[Step], name: &str) -> Option<String> {
        let mut editor = self.masking.editor();
        let renamed = editor.name(path, name);
        let count = editor.count;
        self.masking.count += count;
        renamed
    }

    fn is_dropped(&mut self, path: &[Step]) -> bool {
        self.masking.tables.is_token_list(path)
    }
}
