// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Detectors that only say whether they find something.
//!
//! A set of detectors is a masker whose output nobody wants. It reads as a mask does, by the same functions,
//! so what a mask of one of its detectors would change is what that detector reports. It sees more at one
//! place: the quotes, colons and brackets of JSON inside text, which a mask leaves alone so that JSON stays
//! JSON, are there for a pattern that asks for them.

use std::collections::BTreeSet;

use crate::model::DetectorName;

use super::detector::{Detector, DetectorSpec};
use super::engine::{Hits, Nothing};
use super::masker::Masker;
use super::parts::each_text;
use super::style::Style;
use super::text::is_followed;
use super::{Error, Reading};

/// Detectors that only say whether they find something.
#[derive(Clone, Debug, Default)]
pub struct DetectorSet {
    /// One layer for each name.
    masker: Masker,
    names: Vec<DetectorName>,
}

impl DetectorSet {
    /// Builds the set.
    ///
    /// # Errors
    /// When a pattern is not valid or has no bounded longest match.
    pub fn compile(specs: Vec<DetectorSpec>) -> Result<Self, Error> {
        let names = specs.iter().map(|spec| spec.name.clone()).collect();
        let layers = specs.into_iter().map(|spec| (spec, Style::Label)).collect();
        Ok(Self { masker: Masker::new(layers)?, names })
    }

    /// The detectors that find something in a text that may be JSON itself.
    #[must_use]
    pub fn detect(&self, text: &str) -> BTreeSet<DetectorName> {
        let mut look = self.look();
        look.text(text);
        look.names()
    }

    /// Begins to look at several texts.
    #[must_use]
    pub fn look(&self) -> Look<'_> {
        Look { set: self, hits: Hits::new() }
    }

    /// True if there is no detector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// What the detectors of a set found so far.
#[derive(Debug)]
pub struct Look<'d> {
    set: &'d DetectorSet,
    hits: Hits,
}

impl Look<'_> {
    /// Looks at a text as [`Masker::mask_text`] reads it.
    pub fn text(&mut self, text: &str) {
        if self.is_done() {
            return;
        }
        if is_followed(text) {
            self.hits.extend(self.set.masker.read_text(text, &mut Nothing).hits);
            self.plain(text, |detector| matches!(detector, Detector::Pattern(_)));
        } else {
            self.plain(text, |_| true);
        }
    }

    /// Looks at a number as [`Masker::mask_number`] reads it.
    pub fn number(&mut self, number: &str) {
        if !self.is_done() {
            let mut masked = String::new();
            self.hits.extend(self.set.masker.read_number(number, &mut masked).hits);
        }
    }

    /// Looks at the parts of one text as [`Masker::mask_readings`] reads them.
    pub fn parts(&mut self, parts: &[&str], readings: &[Reading]) {
        each_text(parts, readings, |_, text| self.text(text));
    }

    /// The detectors that found something.
    #[must_use]
    pub fn names(&self) -> BTreeSet<DetectorName> {
        self.hits.iter().filter_map(|layer| self.set.names.get(*layer)).cloned().collect()
    }

    fn is_done(&self) -> bool {
        self.hits.len() >= self.set.names.len()
    }

    /// A plain text, for what has found nothing yet.
    fn plain(&mut self, text: &str, is_asked: impl Fn(&Detector) -> bool) {
        let mut found = Vec::new();
        for (index, layer) in self.set.masker.layers.iter().enumerate() {
            if !self.hits.contains(&index) && is_asked(&layer.detector) {
                layer.search_whole(text, &mut found);
                if !found.is_empty() {
                    self.hits.insert(index);
                    found.clear();
                }
            }
        }
    }
}
