// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The texts of a stream of typed events, masked across its events.
//!
//! Each event has a `type`. One that carries a piece has it below `delta`, and members whose names end in
//! `_id` or `index` say which text it belongs to. What a masker holds back comes out with a later piece, or in an
//! event that is made up before the one that ends the text. A piece behind the end of its text, or of a text that
//! began whole, ends the stream: what came before it is out already. All other strings are masked each
//! for itself. Bounded: at most [`STREAM_TEXTS_MAX`] texts at once, and [`STREAM_PLACES_BYTES_MAX`] bytes to
//! remember where they stand.

use std::collections::BTreeMap;
use std::mem;

use serde_json::{Map, Value};

use crate::mask::{Masker, TextStream};
use crate::model::limits::{STREAM_PLACES_BYTES_MAX, STREAM_TEXTS_MAX};
use crate::protocol::body::{MaskTexts, Tables, is_base64, mask_body};
use crate::protocol::json_text::{Edit, Editor, Step, rewrite};
use crate::protocol::json_tree::Node;
use crate::protocol::sse;

use super::error::StreamError;

/// Bytes of a member that events made up for a text repeat; a longer one is left out.
const COMMON_BYTES_MAX: usize = 256;
/// Bytes of an event that is remembered in place of the one before.
const LAST_BYTES_MAX: usize = 4096;
/// Bytes of the name of an event; a longer one is no name of an API.
const NAME_BYTES_MAX: usize = 64;
/// The member below which pieces stand.
const DELTA: &str = "delta";
/// The index of an item; one with an id has only one.
const ITEM_INDEX: &str = "output_index";

/// How the typed events of an API carry texts. A pattern is a type, or `*` and the end of one.
#[derive(Debug)]
pub struct Events {
    /// Events whose `delta` is a piece, or holds pieces.
    pub pieces: &'static [&'static str],
    /// Members of `delta` that come whole, since clients take the last one or make a list of them: texts, and with a `/`
    /// at its end everything in the member.
    pub whole: &'static [&'static str],
    /// Of these, the ones whose pieces are payloads in base64.
    pub payloads: &'static [&'static str],
    /// Events that begin something that may hold a text already. Pieces of such a text may not follow.
    pub starts: &'static [&'static str],
    /// Events that end texts: those with the same ids and indexes.
    pub ends: &'static [&'static str],
    /// Events behind which nothing belongs to the answer.
    pub last: &'static [&'static str],
}

impl Events {
    /// Whether the event carries pieces of texts.
    pub(super) fn has_pieces(&self, kind: &str) -> bool {
        is_one_of(kind, self.pieces)
    }

    /// Whether what stands there below `delta` comes whole.
    fn is_whole(&self, path: &[Step]) -> bool {
        let [Step::Key(first), rest @ ..] = path else { return false };
        self.whole.iter().any(|member| match member.strip_suffix('/') {
            Some(name) => name == first,
            None => member == first && rest.is_empty(),
        })
    }

    /// Whether the answer is over with this event.
    pub(super) fn is_last(&self, kind: &str) -> bool {
        is_one_of(kind, self.last)
    }
}

fn is_one_of(kind: &str, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_prefix('*') {
        Some(end) => kind.ends_with(end),
        None => kind == *pattern,
    })
}

/// The type of an event. An error of the provider may come without one.
pub(super) fn kind<'n>(event: &'n Node<'_>) -> Option<&'n str> {
    match event.at("type") {
        Some(kind) => kind.text(),
        None => event.set("error").map(|_| "error"),
    }
}

/// Refuses an event that two clients could take for different ones.
pub(super) fn check(event: &sse::Event, node: &Node<'_>) -> Result<(), StreamError> {
    let kind = kind(node).ok_or(StreamError::Choices)?;
    let is_same = event.name.as_deref().is_none_or(|name| name == kind.as_bytes());
    if is_same && has_whole_indexes(node) { Ok(()) } else { Err(StreamError::Choices) }
}

/// Whether every index that is a number is a whole one: to some clients `0.0` is `0`, to others another text.
fn has_whole_indexes(event: &Node<'_>) -> bool {
    let Node::Object(members) = event else { return true };
    members.iter().all(|(name, node)| {
        let is_index = name == "index" || name.ends_with("_index");
        !is_index || !matches!(node, Node::Number(_)) || node.number().is_some()
    })
}

/// Whether the answer that a stream begins with holds a text already.
fn begins_with_text(event: &Node<'_>) -> bool {
    let begun = |outer: &str, inner: &str| event.at(outer).and_then(|answer| answer.at(inner));
    [begun("message", "content"), begun("response", "output")].into_iter().flatten().any(has_text)
}

/// Which text a piece belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// The type of its events without its last word.
    stem: String,
    /// Ids and indexes.
    keys: BTreeMap<String, String>,
    /// The way from `delta`.
    path: Vec<Step>,
}

impl Place {
    fn bytes(&self) -> usize {
        let step = |step: &Step| match step {
            Step::Key(name) => size_of::<Step>() + name.len(),
            Step::Item(_) => size_of::<Step>(),
        };
        let keys: usize = self.keys.iter().map(|(name, value)| name.len() + value.len()).sum();
        let steps: usize = self.path.iter().map(step).sum();
        size_of::<Self>() + self.stem.len() + keys + steps
    }

    /// Whether some client takes two texts for one.
    fn is_mistakable_for(&self, other: &Self) -> bool {
        let is_alike = self.stem == other.stem && self.path == other.path;
        is_alike && self.keys != other.keys && may_be_one(&self.keys, &other.keys)
    }
}

/// Whether some client takes two places for one: those that sort by index where no index differs, and those that sort
/// by id where the same one stands at two places.
fn may_be_one(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> bool {
    let is_id = |name: &str| name.ends_with("_id");
    let both = || one.iter().filter_map(|(name, value)| Some((name, value, other.get(name)?)));
    let differs =
        |are_ids: bool| both().any(|(name, value, found)| is_id(name) == are_ids && value != found);
    let has_ids = both().any(|(name, ..)| is_id(name));
    let is_moved = both().any(|(name, value, found)| name == ITEM_INDEX && value != found);
    !differs(false) || (has_ids && !differs(true) && is_moved)
}

/// One text that arrives piece by piece.
#[derive(Clone)]
struct Text {
    place: Place,
    stream: TextStream,
    /// The data of the last event with a piece of it.
    last: Vec<u8>,
}

/// Texts of which no piece may follow.
#[derive(Clone)]
struct Over {
    /// The type of their events without its last word; none for all types.
    stem: Option<String>,
    /// Ids and indexes that they have, among others.
    keys: BTreeMap<String, String>,
}

impl Over {
    fn bytes(&self) -> usize {
        let keys: usize = self.keys.iter().map(|(name, value)| name.len() + value.len()).sum();
        size_of::<Self>() + self.stem.as_ref().map_or(0, String::len) + keys
    }

    /// Whether every text of the other one is one of these.
    fn covers(&self, other: &Self) -> bool {
        (self.stem.is_none() || self.stem == other.stem)
            && self.keys.iter().all(|(name, value)| other.keys.get(name) == Some(value))
    }
}

/// The texts of a stream that is masked.
#[derive(Clone)]
pub(super) struct Masking {
    masker: Masker,
    tables: &'static Tables,
    events: &'static Events,
    /// Every text is followed beside this one, which has none.
    first: TextStream,
    texts: Vec<Text>,
    /// Texts that are over, or that began whole.
    over: Vec<Over>,
    /// True once the answer itself came with a text, which pieces could go on.
    is_begun: bool,
    /// Bytes of all these places.
    places_bytes: usize,
    /// Places masked outside `texts`.
    count: u64,
}

impl Masking {
    pub(super) fn new(tables: &'static Tables, events: &'static Events, masker: Masker) -> Self {
        Self {
            first: masker.text_stream(),
            masker,
            tables,
            events,
            texts: Vec::new(),
            over: Vec::new(),
            is_begun: false,
            places_bytes: 0,
            count: 0,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count + self.texts.iter().map(|text| text.stream.count()).sum::<u64>()
    }

    pub(super) fn event(
        &mut self,
        event: &sse::Event,
        data: &[u8],
        node: &Node<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        let kind = kind(node).ok_or(StreamError::Choices)?;
        let keys = keys(node);
        self.is_begun |= keys.is_empty() && begins_with_text(node);
        let masked = if self.events.has_pieces(kind) {
            let is_payload = is_one_of(kind, self.events.payloads);
            let mut editor =
                Pieces { stem: stem(kind), is_payload, keys, data, masking: self, fault: None };
            let masked = rewrite(data, &mut editor).map_err(|_cause| StreamError::NotJson)?;
            if let Some(fault) = editor.fault {
                return Err(fault);
            }
            masked.into_owned()
        } else {
            if self.events.is_last(kind) {
                self.release(out);
            } else if is_one_of(kind, self.events.ends) {
                self.end(kind, &keys, out)?;
            } else if is_one_of(kind, self.events.starts) && has_text(node) {
                // What is held back of a text would come behind what begins in its place.
                if self.texts.iter().any(|text| may_be_one(&keys, &text.place.keys)) {
                    return Err(StreamError::Choices);
                }
                self.remember(None, keys)?;
            }
            let masked = mask_body(self.tables, data, &self.masker)
                .map_err(|_cause| StreamError::NotJson)?;
            self.count += masked.count;
            masked.bytes
        };
        let is_as_sent = event.data.as_deref() == Some(masked.as_slice());
        let name = self.name(kind);
        out.extend_from_slice(
            &event.without_texts((!is_as_sent).then_some(masked.as_slice()), name),
        );
        Ok(())
    }

    /// The name of an event, if it can be one of an API and nothing in it has to be masked.
    fn name<'k>(&self, kind: &'k str) -> Option<&'k str> {
        let is_part = |byte: u8| byte.is_ascii_lowercase() || b"._".contains(&byte);
        let is_name = kind.len() <= NAME_BYTES_MAX && kind.bytes().all(is_part);
        (is_name && self.masker.mask_text(kind).count == 0).then_some(kind)
    }

    /// Ends all texts; what they held back becomes events.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) {
        for text in mem::take(&mut self.texts) {
            self.give_out(text, out);
        }
    }

    /// Ends the texts that an event ends.
    fn end(
        &mut self,
        kind: &str,
        keys: &BTreeMap<String, String>,
        out: &mut Vec<u8>,
    ) -> Result<(), StreamError> {
        // The end of one text is named like its pieces, the end of an item or a block is not.
        let stem = stem(kind);
        let is_one = self.texts.iter().any(|text| text.place.stem == stem);
        let is_ended = |place: &Place| {
            (place.stem == stem || (!is_one && !keys.is_empty()))
                && keys.iter().all(|(name, value)| place.keys.get(name) == Some(value))
        };
        for text in mem::take(&mut self.texts) {
            if is_ended(&text.place) {
                self.give_out(text, out);
            } else {
                self.texts.push(text);
            }
        }
        self.remember(is_one.then(|| stem.to_owned()), keys.clone())
    }

    fn give_out(&mut self, mut text: Text, out: &mut Vec<u8>) {
        self.places_bytes = self.places_bytes.saturating_sub(text.place.bytes());
        let held = text.stream.finish();
        self.count += text.stream.count();
        if held.is_empty() {
            return;
        }
        let piece = text.place.path.iter().rev().fold(Value::from(held), wrap);
        let mut made = self.common(&text.last);
        match (made.get_mut(DELTA), piece) {
            (Some(Value::Object(members)), Value::Object(piece)) => members.extend(piece),
            (_, piece) => {
                made.insert(DELTA.to_owned(), piece);
            }
        }
        if let Some(kind) = made.get("type").and_then(Value::as_str).and_then(|it| self.name(it)) {
            out.extend_from_slice(format!("event: {kind}\n").as_bytes());
        }
        out.extend_from_slice(format!("data: {}\n\n", Value::from(made)).as_bytes());
    }

    /// What events that are made up for a text have in common with those of the provider.
    fn common(&self, last: &[u8]) -> Map<String, Value> {
        let Ok(Node::Object(members)) = Node::read(last) else { return Map::new() };
        let mut common = Map::new();
        for (name, node) in members {
            let path = [Step::Key(name.to_string())];
            let value = match &node {
                Node::String(_) if name == DELTA => continue,
                Node::String(kind) if name == "type" => self.name(kind).map(Value::from),
                Node::String(text) if text.len() <= COMMON_BYTES_MAX => self.shown(&path, text),
                Node::Number(number) => Some(Value::from(number.clone())),
                Node::Object(_) if name == DELTA => {
                    let kind = node.at("type").and_then(Node::text);
                    let kind = kind.filter(|kind| self.name(kind).is_some());
                    Some(Value::from_iter(kind.map(|kind| ("type", kind))))
                }
                // SDKs read lists without looking whether they are there.
                Node::Array(_) => Some(Value::Array(Vec::new())),
                _ => None,
            };
            if let Some(value) = value {
                common.insert(name.to_string(), value);
            }
        }
        common
    }

    /// A text as the agent may see it; counted where it arrived.
    fn shown(&self, path: &[Step], text: &str) -> Option<Value> {
        let mut editor = MaskTexts { masker: &self.masker, tables: self.tables, count: 0 };
        match editor.text(path, text) {
            Edit::Keep => Some(Value::from(text)),
            Edit::Text(text) => Some(Value::from(text)),
            Edit::Null => None,
        }
    }

    /// Remembers that no more pieces may follow.
    fn remember(
        &mut self,
        stem: Option<String>,
        keys: BTreeMap<String, String>,
    ) -> Result<(), StreamError> {
        let over = Over { stem, keys };
        let is_empty = over.stem.is_none() && over.keys.is_empty();
        if is_empty || self.over.iter().any(|it| it.covers(&over)) {
            return Ok(());
        }
        // The end of an item says what the ends of its texts said.
        let covered: usize = self.over.iter().filter(|it| over.covers(it)).map(Over::bytes).sum();
        self.places_bytes = self.places_bytes.saturating_sub(covered);
        self.over.retain(|it| !over.covers(it));
        self.make_room(0, over.bytes())?;
        self.over.push(over);
        Ok(())
    }

    fn make_room(&mut self, others: usize, bytes: usize) -> Result<(), StreamError> {
        let bytes = self.places_bytes.saturating_add(bytes);
        if others >= STREAM_TEXTS_MAX || bytes > STREAM_PLACES_BYTES_MAX {
            return Err(StreamError::TooManyTexts);
        }
        self.places_bytes = bytes;
        Ok(())
    }

    /// Whether the text of a piece is over.
    fn is_over(&self, place: &Place) -> bool {
        self.over.iter().any(|over| {
            let is_alike = over.stem.as_ref().is_none_or(|stem| *stem == place.stem);
            is_alike && may_be_one(&over.keys, &place.keys)
        })
    }

    /// Masks the next piece of a text.
    fn piece(&mut self, place: Place, piece: &str, data: &[u8]) -> Result<String, StreamError> {
        if self.is_begun {
            return Err(StreamError::AfterFinish);
        }
        let index = match self.texts.iter().position(|text| text.place == place) {
            Some(index) => index,
            None => {
                if self.is_over(&place) {
                    return Err(StreamError::AfterFinish);
                }
                if self.texts.iter().any(|text| text.place.is_mistakable_for(&place)) {
                    return Err(StreamError::Choices);
                }
                self.make_room(self.texts.len(), place.bytes())?;
                self.texts.push(Text { place, stream: self.first.beside(), last: Vec::new() });
                self.texts.len() - 1
            }
        };
        let Some(text) = self.texts.get_mut(index) else { return Ok(String::new()) };
        if data.len() <= LAST_BYTES_MAX || text.last.is_empty() {
            text.last.clear();
            text.last.extend_from_slice(data);
        }
        Ok(text.stream.push(piece))
    }
}

/// The type of an event without its last word.
fn stem(kind: &str) -> &str {
    kind.rsplit_once(['.', '_']).map_or(kind, |(stem, _)| stem)
}

/// Ids and indexes of an event: which text it is about.
fn keys(event: &Node<'_>) -> BTreeMap<String, String> {
    let Node::Object(members) = event else { return BTreeMap::new() };
    let is_key = |name: &str| {
        name != "event_id" && (name.ends_with("_id") || name.ends_with("_index") || name == "index")
    };
    let key = |(name, node): &(std::borrow::Cow<'_, str>, Node<'_>)| {
        let value = match node {
            Node::String(text) => text.to_string(),
            Node::Number(number) => number.to_string(),
            Node::Null | Node::Bool(_) | Node::Array(_) | Node::Object(_) => return None,
        };
        is_key(name).then(|| (name.to_string(), value))
    };
    members.iter().filter_map(key).collect()
}

/// Whether an event that begins something has a text in it that pieces could go on.
fn has_text(event: &Node<'_>) -> bool {
    const TEXTS: [&str; 9] = [
        "arguments",
        "code",
        "command",
        "input",
        "partial_json",
        "refusal",
        "text",
        "thinking",
        "transcript",
    ];
    match event {
        Node::Object(members) => members.iter().any(|(name, node)| match node {
            Node::String(text) => !text.is_empty() && TEXTS.contains(&name.as_ref()),
            node => has_text(node),
        }),
        Node::Array(items) => items.iter().any(has_text),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => false,
    }
}

/// Builds the value around another one.
fn wrap(inner: Value, step: &Step) -> Value {
    match step {
        Step::Key(name) => Value::from(Map::from_iter([(name.clone(), inner)])),
        Step::Item(_) => Value::from(vec![inner]),
    }
}

/// Masks the strings of one event with pieces.
struct Pieces<'m, 'k> {
    stem: &'k str,
    is_payload: bool,
    keys: BTreeMap<String, String>,
    data: &'k [u8],
    masking: &'m mut Masking,
    fault: Option<StreamError>,
}

impl Pieces<'_, '_> {
    fn whole(&mut self, edit: impl FnOnce(&mut MaskTexts<'_>) -> Edit) -> Edit {
        let (masker, tables) = (&self.masking.masker, self.masking.tables);
        let mut editor = MaskTexts { masker, tables, count: 0 };
        let edited = edit(&mut editor);
        let count = editor.count;
        self.masking.count += count;
        edited
    }
}

impl Editor for Pieces<'_, '_> {
    fn text(&mut self, path: &[Step], text: &str) -> Edit {
        let [Step::Key(first), rest @ ..] = path else {
            return self.whole(|editor| editor.text(path, text));
        };
        let is_whole = self.masking.events.is_whole(rest);
        if first != DELTA || is_whole || self.masking.tables.is_word(path, text) {
            return self.whole(|editor| editor.text(path, text));
        }
        if text.is_empty() || (self.is_payload && is_base64(text)) {
            return Edit::Keep;
        }
        let place =
            Place { stem: self.stem.to_owned(), keys: self.keys.clone(), path: rest.to_vec() };
        match self.masking.piece(place, text, self.data) {
            Ok(masked) if masked == text => Edit::Keep,
            Ok(masked) => Edit::Text(masked),
            Err(fault) => {
                self.fault = self.fault.or(Some(fault));
                Edit::Null
            }
        }
    }

    fn number(&mut self, path: &[Step], number: &str) -> Edit {
        self.whole(|editor| editor.number(path, number))
    }

    fn name(&mut self, path: &[Step], name: &str) -> Option<String> {
        let (masker, tables) = (&self.masking.masker, self.masking.tables);
        let mut editor = MaskTexts { masker, tables, count: 0 };
        let renamed = editor.name(path, name);
        let count = editor.count;
        self.masking.count += count;
        renamed
    }

    fn is_dropped(&mut self, path: &[Step]) -> bool {
        self.masking.tables.is_token_list(path)
    }
}
