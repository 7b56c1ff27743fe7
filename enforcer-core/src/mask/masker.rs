// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The masker: replaces what detectors find, in a whole text or in one that arrives in pieces.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::Number;

use super::Error;
use super::detector::{Detector, DetectorSpec};
use super::engine::{Engine, Hits, Joiner, Layer, Manner, Sink};
use super::key::HashKey;
use super::secret::{self, Known};
use super::style::Style;

/// A text after masking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked<'t> {
    /// The text; borrowed where nothing was masked.
    pub text: Cow<'t, str>,
    /// Places masked.
    pub count: u64,
}

impl<'t> Masked<'t> {
    /// What became of a text; `masked` is of no account where nothing was found.
    pub(super) fn of(text: &'t str, masked: String, count: u64) -> Self {
        let text = if count == 0 { Cow::Borrowed(text) } else { Cow::Owned(masked) };
        Self { text, count }
    }
}

/// What a reading of a text found.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Places.
    pub(super) count: u64,
    /// INVARIANT: empty if and only if there is no place.
    pub(super) hits: Hits,
}

/// Replaces what its detectors find. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Masker {
    pub(super) layers: Arc<[Layer]>,
    manner: Manner,
}

impl Masker {
    /// Builds a masker; the order of the layers only says which name wins among equals.
    ///
    /// # Errors
    /// When a pattern is not valid or has no bounded longest match.
    pub fn new(layers: Vec<(DetectorSpec, Style)>) -> Result<Self, Error> {
        let layer = |(spec, style): (DetectorSpec, Style)| {
            Ok(Layer {
                detector: Arc::new(Detector::compile(&spec)?),
                label: label(spec.name.as_str()),
                style,
            })
        };
        let layers = layers.into_iter().map(layer).collect::<Result<_, Error>>()?;
        Ok(Self { layers, manner: Manner::default() })
    }

    /// True if there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The same masker with one style for all layers.
    #[must_use]
    pub fn with_style(&self, style: Style) -> Self {
        let manner = Manner { style: Some(style), ..self.manner };
        Self { layers: Arc::clone(&self.layers), manner }
    }

    /// The same masker with another key for its hashes.
    #[must_use]
    pub fn with_key(&self, key: HashKey) -> Self {
        let manner = Manner { key, ..self.manner };
        Self { layers: Arc::clone(&self.layers), manner }
    }

    /// The same masker, which also hides secrets that are known by where they stand: behind their name, in a URL,
    /// behind the scheme of a header. For what is recorded, logged and shown.
    #[must_use]
    pub fn with_placed_secrets(&self) -> Self {
        self.with_layer(Detector::Secret)
    }

    /// The same masker, which also hides these secrets wherever they stand. What is shorter than
    /// [`KNOWN_SECRET_BYTES_MIN`](limits::KNOWN_SECRET_BYTES_MIN), and more than
    /// [`KNOWN_SECRETS_MAX`](limits::KNOWN_SECRETS_MAX) of them, is left out.
    #[must_use]
    pub fn with_known_secrets(&self, secrets: Vec<String>) -> Self {
        match Known::of(secrets) {
            Some(known) => self.with_layer(Detector::Known(known)),
            None => self.clone(),
        }
    }

    /// Of matches that are alike, the one of this layer names the placeholder.
    fn with_layer(&self, detector: Detector) -> Self {
        let (label, style) = (secret::LABEL.to_owned(), Style::Label);
        let first = Layer { detector: Arc::new(detector), label, style };
        let layers = std::iter::once(first).chain(self.layers.iter().cloned()).collect();
        Self { layers, manner: self.manner }
    }

    /// Masks a whole text.
    #[must_use]
    pub fn mask<'t>(&self, text: &'t str) -> Masked<'t> {
        let mut masked = String::new();
        let tally = self.read_plain(text, &mut masked);
        Masked::of(text, masked, tally.count)
    }

    /// Reads a whole text. Where nothing is found nothing is handed on.
    pub(super) fn read_plain(&self, text: &str, sink: &mut impl Sink) -> Tally {
        let mut joiner = Joiner::new(self.manner);
        if joiner.search_whole(&self.layers, text) {
            joiner.advance(&self.layers, text, text.len(), sink);
        }
        Tally { count: joiner.count, hits: joiner.hits }
    }

    /// Masks a number of JSON, as written and as a reader writes it again (`4.2e1` is `42.0`). What is masked
    /// is no number any more.
    #[must_use]
    pub fn mask_number<'t>(&self, number: &'t str) -> Masked<'t> {
        let mut masked = String::new();
        let tally = self.read_number(number, &mut masked);
        Masked::of(number, masked, tally.count)
    }

    /// Reads a number of JSON in both ways. `masked` is what it becomes, if anything is found.
    pub(super) fn read_number(&self, number: &str, masked: &mut String) -> Tally {
        let mut written = self.read_plain(number, masked);
        let plain = serde_json::from_str::<Number>(number).map(|number| number.to_string());
        let Some(plain) = plain.ok().filter(|plain| plain != number) else { return written };
        let mut rewritten = String::new();
        let again = self.read_plain(&plain, &mut rewritten);
        if written.count == 0 {
            *masked = rewritten;
            return again;
        }
        written.hits.extend(again.hits);
        written
    }

    /// Masks one text that arrives in pieces.
    #[must_use]
    pub fn stream(&self) -> MaskStream {
        MaskStream { engine: self.engine() }
    }

    pub(super) fn engine(&self) -> Engine {
        Engine::new(Arc::clone(&self.layers), self.manner)
    }
}

/// The name as it may stand inside any text, also inside JSON inside text.
fn label(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    name.chars().map(safe).collect()
}

/// Masks one text that arrives in pieces: whatever the pieces, the outputs together are what
/// [`Masker::mask`] makes of the whole. Only what can still become a match is held back.
#[derive(Clone)]
pub struct MaskStream {
    engine: Engine,
}

impl fmt::Debug for MaskStream {
    /// Without the text: what is held back may be what must not be written anywhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskStream").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl MaskStream {
    /// Takes the next piece and returns what is decided.
    #[must_use]
    pub fn push(&mut self, chunk: &str) -> String {
        let mut out = String::new();
        self.engine.push(chunk, &mut out);
        out
    }

    /// Ends the text and returns the rest; the next push begins another text.
    #[must_use]
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        self.engine.finish("", &mut out);
        out
    }

    /// Places masked so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.engine.count()
    }
}
