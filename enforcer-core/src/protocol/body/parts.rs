// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Texts that stand in several parts of a body: the items of one list.
//!
//! Whoever receives content parts puts their texts together, so a match may lie across them. All members
//! `text` and `refusal` of the items of one list are parts of one text, whatever stands between them; in
//! lists named `content` also items that are strings. The list may have any place: errs to masking. Read
//! are all parts in their order, and also each kind for itself, the items that say they are texts, and those of each
//! other type, with the first and with the last member of the name where an item has it twice: what one reader leaves out must not protect what another one
//! puts together.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::mask::Reading;
use crate::model::OpaqueCause;
use crate::protocol::json_text::{Edit, Editor, Json, Step};

use super::reader::{Reader, read_number, read_text};
use super::tables::Tables;

/// Reads a body in two walks: what is in parts is put together in the first one.
pub(super) fn read_body<'b, R: Reader>(
    tables: &'static Tables,
    body: &'b [u8],
    reader: &mut R,
) -> Result<Cow<'b, [u8]>, OpaqueCause> {
    let json = Json::read(body)?;
    let mut gather =
        Gather { dropped: R::DROPS_TOKEN_LISTS.then_some(tables), ..Gather::default() };
    json.rewrite(&mut gather)?;
    let parts = gather.read(reader);
    json.rewrite(&mut ReadTexts { reader, tables, parts })
}

/// Types of the items whose texts readers put together; items without a type are read so, too.
const TEXT_TYPES: [&str; 4] = ["", "input_text", "output_text", "text"];
/// Most other types of one list whose texts are read for themselves.
const TYPES_MAX: usize = 8;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Text, Self::Refusal];
}

/// A part, by its path: what it is, the index of its item, and at which depth the list is.
fn part(path: &[Step]) -> Option<(Kind, usize, usize)> {
    match path {
        [list @ .., Step::Item(item), Step::Key(name)] => match name.as_str() {
            "text" => Some((Kind::Text, *item, list.len())),
            "refusal" => Some((Kind::Refusal, *item, list.len())),
            _ => None,
        },
        [list @ .., Step::Item(item)] => {
            let is_content = matches!(list.last(), Some(Step::Key(name)) if name == "content");
            is_content.then_some((Kind::Text, *item, list.len()))
        }
        _ => None,
    }
}

/// Collects parts, list by list.
#[derive(Default)]
struct Gather {
    /// Says which lists are dropped, where any are.
    dropped: Option<&'static Tables>,
    /// The objects and lists on the way to here, by numbers of their own: a path may stand twice.
    way: Vec<usize>,
    seen: usize,
    lists: Vec<Vec<Part>>,
    /// From the number of a list to its place in `lists`.
    places: HashMap<usize, usize>,
    /// What the items of each list say that they are, by the number of the list.
    types: HashMap<usize, HashMap<usize, String>>,
    /// For each part in the order of the body, the list it belongs to.
    order: Vec<usize>,
}

struct Part {
    kind: Kind,
    item: usize,
    text: String,
}

impl Gather {
    /// Reads what was collected. The answer has an entry for each part, in the order of the body; `None` if
    /// it is the only one of its list, and was not read.
    fn read(self, reader: &mut impl Reader) -> VecDeque<Option<Edit>> {
        let numbers: HashMap<usize, usize> =
            self.places.iter().map(|(number, place)| (*place, *number)).collect();
        let none = HashMap::new();
        let read = |(place, parts): (usize, Vec<Part>)| {
            if parts.len() < 2 {
                return VecDeque::from([None]);
            }
            let types = numbers.get(&place).and_then(|number| self.types.get(number));
            let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
            let readings = readings(&parts, types.unwrap_or(&none));
            let changes = reader.parts(&texts, &readings).into_iter();
            changes.map(|change| Some(change.map_or(Edit::Keep, Edit::Text))).collect()
        };
        let mut lists: Vec<VecDeque<Option<Edit>>> =
            self.lists.into_iter().enumerate().map(read).collect();
        let next = |list: &usize| lists.get_mut(*list).and_then(VecDeque::pop_front).flatten();
        self.order.iter().map(next).collect()
    }
}

/// The ways in which readers may put the parts of a list together.
fn readings(parts: &[Part], types: &HashMap<usize, String>) -> Vec<Reading> {
    let mut readings = vec![(0..parts.len()).collect::<Reading>()];
    let of_type = |part: &Part| types.get(&part.item).map_or("", String::as_str);
    let is_text = |part: &Part| TEXT_TYPES.contains(&of_type(part));
    for kind in Kind::ALL {
        let of_kind = |part: &Part| part.kind == kind;
        add_readings(parts, of_kind, &mut readings);
        add_readings(parts, |part| of_kind(part) && is_text(part), &mut readings);
    }
    let others: BTreeSet<&str> =
        parts.iter().map(of_type).filter(|name| !TEXT_TYPES.contains(name)).collect();
    for other in others.into_iter().take(TYPES_MAX) {
        let is_other = |part: &Part| part.kind == Kind::Text && of_type(part) == other;
        add_readings(parts, is_other, &mut readings);
    }
    readings
}

/// Adds the readings of these parts alone, with the first and with the last member where an item has it twice.
fn add_readings(parts: &[Part], is_read: impl Fn(&Part) -> bool, readings: &mut Vec<Reading>) {
    for takes_last in [false, true] {
        let mut reading = Reading::new();
        let mut item = None;
        for (index, part) in parts.iter().enumerate().filter(|(_, part)| is_read(part)) {
            if item.replace(part.item) != Some(part.item) {
                reading.push(index);
            } else if takes_last && let Some(last) = reading.last_mut() {
                *last = index;
            }
        }
        if !readings.contains(&reading) {
            readings.push(reading);
        }
    }
}

impl Editor for Gather {
    fn text(&mut self, path: &[Step], text: &str) -> Edit {
        if let Some((kind, item, depth)) = part(path)
            && let Some(list) = self.way.get(depth)
        {
            let place = *self.places.entry(*list).or_insert(self.lists.len());
            if place == self.lists.len() {
                self.lists.push(Vec::new());
            }
            if let Some(parts) = self.lists.get_mut(place) {
                parts.push(Part { kind, item, text: text.to_owned() });
            }
            self.order.push(place);
        }
        if let [list @ .., Step::Item(item), Step::Key(name)] = path
            && name == "type"
            && let Some(list) = self.way.get(list.len())
        {
            self.types.entry(*list).or_default().insert(*item, text.to_owned());
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
        self.way.truncate(path.len());
        self.way.push(self.seen);
        self.seen += 1;
        self.dropped.is_some_and(|tables| tables.is_token_list(path))
    }
}

/// Reads every text, number and name of a body.
struct ReadTexts<'r, R> {
    reader: &'r mut R,
    tables: &'static Tables,
    /// What becomes of parts, those that are still to come.
    parts: VecDeque<Option<Edit>>,
}

impl<R: Reader> Editor for ReadTexts<'_, R> {
    fn text(&mut self, path: &[Step], text: &str) -> Edit {
        let known = part(path).and_then(|_| self.parts.pop_front().flatten());
        known.unwrap_or_else(|| read_text(self.tables, self.reader, path, text))
    }

    fn number(&mut self, path: &[Step], number: &str) -> Edit {
        read_number(self.tables, self.reader, path, number)
    }

    fn name(&mut self, _path: &[Step], name: &str) -> Option<String> {
        self.reader.text(name, false)
    }

    fn is_dropped(&mut self, path: &[Step]) -> bool {
        R::DROPS_TOKEN_LISTS && self.tables.is_token_list(path)
    }
}
