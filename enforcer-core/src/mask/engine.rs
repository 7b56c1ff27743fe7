// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The incremental heart of the masker: windows over the text, and matches joined into regions.
//!
//! Overlapping matches become one region with one placeholder, so that no detector's match stays readable
//! because another one claimed a part of it. The text of a region is not kept while the region grows.

use std::collections::BTreeSet;
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::detector::Detector;
use super::key::HashKey;
use super::pattern::Memory;
use super::style::Style;
use super::window::Window;

/// Bytes kept before the next search, for what looks behind.
const CONTEXT_BYTES: usize = 8;
/// Hexadecimal digits of a hash placeholder; fewer than a card number has digits.
const HASH_DIGITS: usize = 10;

/// One detector with the way in which its matches are replaced.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) detector: Arc<Detector>,
    /// The detector's name as it stands in placeholders.
    pub(super) label: String,
    pub(super) style: Style,
}

impl Layer {
    /// Adds every match in a whole text.
    pub(super) fn search_whole(&self, text: &str, found: &mut Vec<Range<usize>>) {
        self.detector.search(Window { text, from: 0, is_end: true }, &mut None, found);
    }
}

/// Layers that found something, by their places in the masker.
pub(super) type Hits = BTreeSet<usize>;

/// What a masker says of all its layers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// Takes the place of every layer's style.
    pub(super) style: Option<Style>,
    pub(super) key: HashKey,
}

/// Receives the masked text, in order. Every byte of the input is either kept or hidden.
pub(super) trait Sink {
    /// The next bytes stay as they are.
    fn keep(&mut self, text: &str);
    /// The next bytes of the input go.
    fn hide(&mut self, bytes: usize);
    /// This stands for the bytes that were hidden last.
    fn put(&mut self, placeholder: &str);
}

impl Sink for String {
    fn keep(&mut self, text: &str) {
        self.push_str(text);
    }
    fn hide(&mut self, _bytes: usize) {}
    fn put(&mut self, placeholder: &str) {
        self.push_str(placeholder);
    }
}

/// For who only wants to know what was found.
pub(super) struct Nothing;

impl Sink for Nothing {
    fn keep(&mut self, _text: &str) {}
    fn hide(&mut self, _bytes: usize) {}
    fn put(&mut self, _placeholder: &str) {}
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    start: usize,
    end: usize,
    layer: usize,
}

/// Matches that overlap, joined.
#[derive(Clone)]
struct Region {
    end: usize,
    style: Style,
    /// The layer of the longest match; it names the placeholder.
    layer: usize,
    longest: usize,
    /// The range of the first match.
    first: Range<usize>,
    /// True if all matches have that range.
    is_single: bool,
    hasher: blake3::Hasher,
    /// The text, as long as its end may be shown.
    text: String,
}

impl Region {
    fn open(span: &Span, style: Style, key: &HashKey) -> Self {
        Self {
            end: span.end,
            style,
            layer: span.layer,
            longest: span.end - span.start,
            first: span.start..span.end,
            is_single: true,
            hasher: key.hasher(),
            text: String::new(),
        }
    }

    fn absorb(&mut self, span: &Span, style: Style) {
        let length = span.end - span.start;
        if (length, self.layer) > (self.longest, span.layer) {
            (self.longest, self.layer) = (length, span.layer);
        }
        if self.first != (span.start..span.end) {
            self.is_single = false;
            self.text.clear();
        }
        self.end = self.end.max(span.end);
        self.style = self.style.max(style);
    }

    fn take(&mut self, text: &str) {
        self.hasher.update(text.as_bytes());
        if self.is_single && self.style == Style::Partial {
            self.text.push_str(text);
        }
    }

    fn placeholder(&self, layers: &[Layer]) -> String {
        let Some(layer) = layers.get(self.layer) else { return "[masked]".to_owned() };
        let label = &layer.label;
        let shown = match self.style {
            Style::Label => None,
            Style::Hash => {
                Some(self.hasher.finalize().to_hex().chars().take(HASH_DIGITS).collect())
            }
            Style::Partial if self.is_single => {
                layer.detector.tail(&self.text).map(ToOwned::to_owned)
            }
            Style::Partial => None,
        };
        shown.map_or_else(|| format!("[{label}]"), |shown: String| format!("[{label}:{shown}]"))
    }
}

/// Joins matches and hands the text on as far as it is decided.
#[derive(Clone, Default)]
pub(super) struct Joiner {
    spans: Vec<Span>,
    region: Option<Region>,
    released: usize,
    manner: Manner,
    pub(super) count: u64,
    /// What a mask changes is what a detector reports: both come from here.
    pub(super) hits: Hits,
}

impl Joiner {
    pub(super) fn new(manner: Manner) -> Self {
        Self { manner, ..Self::default() }
    }

    /// Searches a whole text; the answer says whether anything was found.
    pub(super) fn search_whole(&mut self, layers: &[Layer], text: &str) -> bool {
        let mut found = Vec::new();
        for (layer, it) in layers.iter().enumerate() {
            it.search_whole(text, &mut found);
            self.add(layer, &mut found);
        }
        !self.spans.is_empty()
    }

    fn add(&mut self, layer: usize, found: &mut Vec<Range<usize>>) {
        if !found.is_empty() {
            self.hits.insert(layer);
        }
        let span = |range: Range<usize>| Span { start: range.start, end: range.end, layer };
        self.spans.extend(found.drain(..).map(span));
    }

    /// Hands on the text before `safe`: every match that starts before it is known.
    pub(super) fn advance(
        &mut self,
        layers: &[Layer],
        text: &str,
        safe: usize,
        sink: &mut impl Sink,
    ) {
        self.spans.sort_unstable();
        self.spans.dedup();
        let known = self.spans.partition_point(|span| span.start < safe);
        for span in self.spans.drain(..known).collect::<Vec<_>>() {
            let style = layers.get(span.layer).map_or(Style::Label, |layer| layer.style);
            let style = self.manner.style.unwrap_or(style);
            match &mut self.region {
                Some(region) if span.start < region.end => region.absorb(&span, style),
                _ => {
                    self.close_region(layers, text, sink);
                    self.keep_to(text, span.start, sink);
                    self.region = Some(Region::open(&span, style, &self.manner.key));
                }
            }
        }
        match self.region.as_ref().map(|region| region.end) {
            Some(end) if end > safe => self.hide_to(text, safe, sink),
            Some(_) => self.close_region(layers, text, sink),
            None => {}
        }
        if self.region.is_none() {
            self.keep_to(text, safe, sink);
        }
    }

    fn keep_to(&mut self, text: &str, to: usize, sink: &mut impl Sink) {
        if let Some(part) = text.get(self.released..to).filter(|part| !part.is_empty()) {
            sink.keep(part);
            self.released = to;
        }
    }

    fn hide_to(&mut self, text: &str, to: usize, sink: &mut impl Sink) {
        let Some(part) = text.get(self.released..to) else { return };
        if let Some(region) = &mut self.region {
            region.take(part);
        }
        sink.hide(part.len());
        self.released = to;
    }

    fn close_region(&mut self, layers: &[Layer], text: &str, sink: &mut impl Sink) {
        if let Some(end) = self.region.as_ref().map(|region| region.end) {
            self.hide_to(text, end, sink);
        }
        if let Some(region) = self.region.take() {
            sink.put(&region.placeholder(layers));
            self.count += 1;
        }
    }

    /// Forgets the first bytes of the text; they were handed on.
    fn shift(&mut self, bytes: usize) {
        self.released -= bytes;
        for span in &mut self.spans {
            span.start -= bytes;
            span.end -= bytes;
        }
        if let Some(region) = &mut self.region {
            region.end -= bytes;
            // A later match starts behind what is forgotten, so it never equals a range that began before.
            let start = region.first.start.checked_sub(bytes);
            region.first = start.map_or(0..0, |start| start..region.first.end - bytes);
        }
    }
}

/// What the detectors remember from one search to the next: only a cache, so it may be shared and lost.
#[derive(Clone)]
struct Memories(Arc<Mutex<Vec<Memory>>>);

impl Memories {
    fn new(layers: &[Layer]) -> Self {
        Self(Arc::new(Mutex::new(vec![None; layers.len()])))
    }
}

/// Masks one text that arrives in pieces.
#[derive(Clone)]
pub(super) struct Engine {
    layers: Arc<[Layer]>,
    /// Context, then what is not decided.
    text: String,
    /// Where each detector goes on.
    next: Vec<usize>,
    /// What each detector remembers; shared by texts that are read side by side.
    memory: Memories,
    joiner: Joiner,
}

impl Engine {
    pub(super) fn new(layers: Arc<[Layer]>, manner: Manner) -> Self {
        let next = vec![0; layers.len()];
        let memory = Memories::new(&layers);
        Self { layers, text: String::new(), next, memory, joiner: Joiner::new(manner) }
    }

    /// An engine for another text, that remembers together with this one.
    pub(super) fn beside(&self) -> Self {
        let memory = self.memory.clone();
        Self { memory, ..Self::new(Arc::clone(&self.layers), self.joiner.manner) }
    }

    pub(super) fn push(&mut self, chunk: &str, sink: &mut impl Sink) {
        if !chunk.is_empty() {
            self.text.push_str(chunk);
            self.run(false, sink);
            self.forget();
        }
    }

    /// Ends the text with a last piece; the next push begins another one.
    pub(super) fn finish(&mut self, rest: &str, sink: &mut impl Sink) {
        self.text.push_str(rest);
        self.run(true, sink);
        self.text.clear();
        self.next.fill(0);
        let Joiner { count, manner, .. } = self.joiner;
        let hits = mem::take(&mut self.joiner.hits);
        self.joiner = Joiner { count, hits, ..Joiner::new(manner) };
    }

    pub(super) fn count(&self) -> u64 {
        self.joiner.count
    }

    pub(super) fn hits(&self) -> &Hits {
        &self.joiner.hits
    }

    fn run(&mut self, is_end: bool, sink: &mut impl Sink) {
        let text = self.text.as_str();
        let mut found = Vec::new();
        let mut memory = self.memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = self.layers.iter().zip(&mut self.next).zip(memory.iter_mut());
        for (layer, ((it, next), memory)) in each.enumerate() {
            *next = it.detector.search(Window { text, from: *next, is_end }, memory, &mut found);
            self.joiner.add(layer, &mut found);
        }
        let safe = if is_end { None } else { self.next.iter().min().copied() };
        let safe = text.floor_char_boundary(safe.unwrap_or(text.len()));
        self.joiner.advance(&self.layers, text, safe, sink);
    }

    fn forget(&mut self) {
        let earliest = self.next.iter().copied().min().unwrap_or(self.text.len());
        let needed = earliest.min(self.joiner.released).saturating_sub(CONTEXT_BYTES);
        let bytes = self.text.floor_char_boundary(needed);
        self.text.drain(..bytes);
        self.next.iter_mut().for_each(|next| *next -= bytes);
        self.joiner.shift(bytes);
    }
}
