// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One text that stands in several parts.
//!
//! Who receives parts puts them together, and not everybody takes the same ones. So every way of putting
//! them together is read, and every part for itself, each from what was sent. What any of these readings
//! hides is hidden; a placeholder stands where the hidden region began. Bytes that no reading hides stay
//! in their part as they were. Linear in the bytes of all readings.

use std::borrow::Cow;
use std::mem;

use super::engine::Sink;
use super::masker::Masker;
use super::text::is_json;

/// Some parts, in the order in which somebody reads them as one text: their indexes.
pub type Reading = Vec<usize>;

/// What became of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedParts<'t> {
    /// The parts; borrowed where nothing was masked.
    pub texts: Vec<Cow<'t, str>>,
    /// Places masked.
    pub count: u64,
}

impl Masker {
    /// Masks the parts of one text, each of which may also be read for itself. The text and each part may
    /// be JSON.
    #[must_use]
    pub fn mask_parts<'t>(&self, parts: &[&'t str]) -> MaskedParts<'t> {
        self.mask_readings(parts, &[(0..parts.len()).collect()])
    }

    /// As [`Masker::mask_parts`], for parts that are put together in several ways. What two readings hide is
    /// named by the first of them.
    #[must_use]
    pub fn mask_readings<'t>(&self, parts: &[&'t str], readings: &[Reading]) -> MaskedParts<'t> {
        let mut cover = vec![Vec::new(); parts.len()];
        each_text(parts, readings, |from, text| {
            let pieces = match from {
                Source::Reading(index) => readings.get(index).map_or(&[] as &[usize], |it| it),
                Source::Part(ref part) => std::slice::from_ref(part),
            };
            let mut sink =
                PartSink { parts, pieces, from, offset: 0, open: None, cover: &mut cover };
            self.read_text(text, &mut sink);
        });
        let mut count = 0;
        let texts = parts.iter().zip(cover).map(|(part, hidden)| {
            if hidden.is_empty() {
                return Cow::Borrowed(*part);
            }
            let (text, places) = uncovered(part, hidden);
            count += places;
            Cow::Owned(text)
        });
        let texts = texts.collect();
        MaskedParts { texts, count }
    }
}

/// Where a text that is read comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Parts put together, by the index of the reading.
    Reading(usize),
    /// One part, by its index.
    Part(usize),
}

/// Calls back with every text that has to be read.
pub(super) fn each_text(parts: &[&str], readings: &[Reading], mut back: impl FnMut(Source, &str)) {
    for (index, reading) in readings.iter().enumerate() {
        // One part is read for itself below.
        if reading.len() > 1 {
            let pieces = reading.iter().filter_map(|part| parts.get(*part).copied());
            back(Source::Reading(index), &pieces.collect::<String>());
        }
    }
    for (index, part) in parts.iter().enumerate() {
        back(Source::Part(index), part);
    }
}

/// Bytes of one part that one reading hides.
#[derive(Clone, Debug)]
struct Hidden {
    from: Source,
    start: usize,
    end: usize,
    /// What stands for them; none if the region began in an earlier part.
    placeholder: Option<String>,
}

/// Notes what is hidden, by parts.
struct PartSink<'s> {
    parts: &'s [&'s str],
    /// The parts that are still to come, the current one first.
    pieces: &'s [usize],
    from: Source,
    /// Bytes of the current part that are dealt with.
    offset: usize,
    /// Where the region that is open began: the part, and the index there.
    open: Option<(usize, usize)>,
    cover: &'s mut [Vec<Hidden>],
}

impl PartSink<'_> {
    /// Moves on by so many bytes; calls back with each stretch of a part.
    fn advance(&mut self, mut bytes: usize, mut back: impl FnMut(&mut Self, usize, usize, usize)) {
        while let Some((part, later)) = self.pieces.split_first() {
            let length = self.parts.get(*part).map_or(0, |part| part.len());
            let taken = bytes.min(length.saturating_sub(self.offset));
            if taken > 0 {
                let start = self.offset;
                self.offset += taken;
                bytes -= taken;
                back(self, *part, start, start + taken);
            }
            if bytes == 0 {
                break;
            }
            (self.pieces, self.offset) = (later, 0);
        }
    }

    fn note(&mut self, part: usize, start: usize, end: usize) {
        let Some(cover) = self.cover.get_mut(part) else { return };
        match cover.last_mut() {
            // The region goes on.
            Some(last) if self.open.is_some() && last.from == self.from && last.end == start => {
                last.end = end;
            }
            _ => {
                self.open.get_or_insert((part, cover.len()));
                cover.push(Hidden { from: self.from, start, end, placeholder: None });
            }
        }
    }
}

impl Sink for PartSink<'_> {
    fn keep(&mut self, text: &str) {
        self.advance(text.len(), |_, _, _, _| {});
    }

    fn hide(&mut self, bytes: usize) {
        self.advance(bytes, Self::note);
    }

    fn put(&mut self, placeholder: &str) {
        let Some((part, index)) = self.open.take() else { return };
        if let Some(hidden) = self.cover.get_mut(part).and_then(|cover| cover.get_mut(index)) {
            hidden.placeholder = Some(placeholder.to_owned());
        }
    }
}

/// A part without what is hidden, and how many placeholders stand there.
fn uncovered(part: &str, mut hidden: Vec<Hidden>) -> (String, u64) {
    hidden.sort_by_key(|it| (it.start, it.end));
    // What knows that a part is JSON keeps it JSON.
    let is_own_first = is_json(part);
    let rank = |it: &Hidden| (is_own_first != matches!(it.from, Source::Part(_)), it.from);
    let (mut text, mut count, mut at) = (String::with_capacity(part.len()), 0, 0);
    let mut rest = hidden.into_iter().peekable();
    while let Some(first) = rest.next() {
        let (start, mut end) = (first.start, first.end);
        let mut cluster = vec![first];
        while let Some(next) = rest.next_if(|next| next.start < end) {
            end = end.max(next.end);
            cluster.push(next);
        }
        text.push_str(part.get(at..start).unwrap_or_default());
        at = end;
        let names = cluster.iter().map(&rank).min();
        for it in cluster.iter_mut().filter(|it| Some(rank(it)) == names) {
            if let Some(placeholder) = mem::take(&mut it.placeholder) {
                text.push_str(&placeholder);
                count += 1;
            }
        }
    }
    text.push_str(part.get(at..).unwrap_or_default());
    (text, count)
}
