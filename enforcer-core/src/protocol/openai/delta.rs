// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The texts of a streamed answer, masked across its chunks.
//!
//! Every text under a `delta` is followed: one masker for each choice and place. What a masker holds back comes
//! out with a later delta, at the latest with or before the chunk that finishes the choice; chunks are
//! made up for it where the provider sends none. Strings elsewhere are masked each for itself. At most
//! [`STREAM_TEXTS_MAX`] texts at once; more end the stream.

use std::mem;

use serde_json::{Map, Value, json};

use crate::mask::{Masker, TextStream};
use crate::model::limits::{MASK_HOLD_BYTES_MAX, STREAM_TEXTS_MAX};
use crate::protocol::json_text::{Edit, Editor, Step, rewrite};
use crate::protocol::json_tree::Node;
use crate::protocol::sse;

use super::mask::{
    MaskTexts, is_base64, is_name_place, is_payload_place, is_token_list, is_word, media_type,
};
use super::stream::StreamError;

/// The texts of a stream that is masked.
#[derive(Clone)]
pub(super) struct Masking {
    masker: Masker,
    texts: Vec<Text>,
    /// Places where a payload arrives.
    payloads: Vec<Place>,
    /// Ids and names, with their last bytes.
    names: Vec<(Place, String)>,
    /// What chunks that are made up have in common with those of the provider.
    common: Map<String, Value>,
    /// Places masked outside `texts`.
    count: u64,
}

/// Where something arrives delta by delta.
#[derive(Clone, PartialEq, Eq)]
struct Place {
    choice: u64,
    /// The way from `delta`, by the indexes that the provider gives.
    path: Vec<Step>,
}

/// One text that arrives delta by delta.
#[derive(Clone)]
struct Text {
    place: Place,
    stream: TextStream,
}

impl Masking {
    pub(super) fn new(masker: Masker) -> Self {
        Self {
            masker,
            texts: Vec::new(),
            payloads: Vec::new(),
            names: Vec::new(),
            common: Map::new(),
            count: 0,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count + self.texts.iter().map(|text| text.stream.count()).sum::<u64>()
    }

    /// Lines without data carry no text in this API; one that has to be masked is not of it.
    pub(super) fn check_lines(&self, event: &sse::Event) -> Result<(), StreamError> {
        let is_clean =
            |line| str::from_utf8(line).is_ok_and(|line| self.masker.mask(line).count == 0);
        if event.other_lines().all(is_clean) { Ok(()) } else { Err(StreamError::NotJson) }
    }

    pub(super) fn chunk(
        &mut self,
        event: &sse::Event,
        data: &[u8],
        chunk: &Node<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        self.remember(chunk);
        let mut editor = MaskChunk { masking: self, chunk, fault: None };
        let masked = rewrite(data, &mut editor).map_err(|_cause| StreamError::NotJson)?;
        if let Some(fault) = editor.fault {
            return Err(fault);
        }
        // Before the finish of a choice comes what its other texts hold back.
        let finished: Vec<u64> =
            choices(chunk).filter(|(_, it)| is_finished(it)).map(|it| it.0).collect();
        if !finished.is_empty() {
            self.release(|choice| finished.contains(&choice), out);
        }
        match masked.as_ref() {
            same if same == data => out.extend_from_slice(&event.raw),
            other => out.extend_from_slice(&event.with_data(other)),
        }
        Ok(())
    }

    fn remember(&mut self, chunk: &Node<'_>) {
        for name in ["id", "object", "created", "model", "system_fingerprint", "service_tier"] {
            let path = [Step::Key(name.to_owned())];
            // Not counted here: the chunk itself is masked as well.
            let mut editor = MaskTexts { masker: &self.masker, count: 0 };
            let (value, edit) = match chunk.at(name) {
                Some(Node::String(text)) => (Value::from(text.as_ref()), editor.text(&path, text)),
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
            let held = text.stream.finish();
            self.count += text.stream.count();
            if !held.is_empty() {
                let mut chunk = self.common.clone();
                let delta = text.place.path.iter().rev().fold(Value::from(held), wrap);
                let choice =
                    json!({ "index": text.place.choice, "delta": delta, "finish_reason": null });
                chunk.insert("choices".to_owned(), json!([choice]));
                out.extend_from_slice(format!("data: {}\n\n", Value::from(chunk)).as_bytes());
            }
        }
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
        let has_room = self.payloads.len() < STREAM_TEXTS_MAX;
        let begins = !is_text && has_room && media_type(piece) == Some("");
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
            None if self.names.len() >= STREAM_TEXTS_MAX => return Err(StreamError::TooManyTexts),
            None => {
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
            None if self.texts.len() >= STREAM_TEXTS_MAX => return Err(StreamError::TooManyTexts),
            None => {
                self.texts.push(Text { place, stream: self.masker.text_stream() });
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

/// The choices of a chunk with their indexes.
fn choices<'n>(chunk: &'n Node<'n>) -> impl Iterator<Item = (u64, &'n Node<'n>)> {
    let items = chunk.at("choices").and_then(Node::items).unwrap_or_default();
    let index = |(position, choice)| (wire_index(choice, position), choice);
    items.iter().enumerate().map(index)
}

/// The index that the provider gives an item, or its position.
fn wire_index(item: &Node<'_>, position: usize) -> u64 {
    item.at("index").and_then(Node::number).unwrap_or(position as u64)
}

fn is_finished(choice: &Node<'_>) -> bool {
    choice.at("finish_reason").and_then(Node::text).is_some_and(|reason| !reason.is_empty())
}

/// Masks the strings of one chunk.
struct MaskChunk<'m> {
    masking: &'m mut Masking,
    chunk: &'m Node<'m>,
    fault: Option<StreamError>,
}

impl MaskChunk<'_> {
    /// Where the text stands that a string continues, and whether its choice ends here.
    fn followed(&self, path: &[Step]) -> Option<(Place, bool)> {
        let [Step::Key(choices), Step::Item(position), Step::Key(delta), place @ ..] = path else {
            return None;
        };
        // Annotations come whole.
        let is_whole = matches!(place.first(), Some(Step::Key(name)) if name == "annotations");
        if choices != "choices" || delta != "delta" || is_whole {
            return None;
        }
        let choice = self.chunk.at("choices")?.items()?.get(*position)?;
        let mut node = choice.at("delta")?;
        let mut indexed = Vec::with_capacity(place.len());
        for step in place {
            match step {
                Step::Key(name) => {
                    node = node.at(name)?;
                    indexed.push(step.clone());
                }
                Step::Item(position) => {
                    node = node.items()?.get(*position)?;
                    let index = usize::try_from(wire_index(node, *position)).ok()?;
                    indexed.push(Step::Item(index));
                }
            }
        }
        let place = Place { choice: wire_index(choice, *position), path: indexed };
        Some((place, is_finished(choice)))
    }

    fn whole(&mut self, edit: impl FnOnce(&mut MaskTexts<'_>) -> Edit) -> Edit {
        let mut editor = MaskTexts { masker: &self.masking.masker, count: 0 };
        let edited = edit(&mut editor);
        let count = editor.count;
        self.masking.count += count;
        edited
    }
}

impl Editor for MaskChunk<'_> {
    fn text(&mut self, path: &[Step], text: &str) -> Edit {
        if is_word(path, text) {
            return Edit::Keep;
        }
        let Some((place, is_last)) = self.followed(path) else {
            return self.whole(|editor| editor.text(path, text));
        };
        let goes_on = text.is_empty() && !is_last;
        if goes_on || (is_payload_place(path) && self.masking.is_payload(&place, text)) {
            return Edit::Keep;
        }
        if is_name_place(path) {
            if let Err(fault) = self.masking.check_name(place, text) {
                self.fault = Some(fault);
            }
            return self.whole(|editor| editor.text(path, text));
        }
        match self.masking.delta(place, text, is_last) {
            Ok(masked) if masked == text => Edit::Keep,
            Ok(masked) => Edit::Text(masked),
            Err(fault) => {
                self.fault = Some(fault);
                Edit::Null
            }
        }
    }

    fn number(&mut self, path: &[Step], number: &str) -> Edit {
        self.whole(|editor| editor.number(path, number))
    }

    fn name(&mut self, path: &[Step], name: &str) -> Option<String> {
        let mut editor = MaskTexts { masker: &self.masking.masker, count: 0 };
        let renamed = editor.name(path, name);
        let count = editor.count;
        self.masking.count += count;
        renamed
    }

    fn is_dropped(&mut self, path: &[Step]) -> bool {
        is_token_list(path)
    }
}
