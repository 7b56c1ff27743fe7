// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a detector is.

use std::ops::Range;

use crate::model::DetectorName;

use super::builtin::{Builtin, Find};
use super::long::Long;
use super::pattern::{Memory, Pattern};
use super::secret::{self, Known};
use super::window::Window;
use super::{Error, card, email};

/// A detector as the bundle names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectorSpec {
    /// Its name; it stands in placeholders.
    pub name: DetectorName,
    /// What it looks for.
    pub kind: DetectorKind,
}

/// What a detector looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetectorKind {
    /// Something that comes with the product.
    Builtin(Builtin),
    /// A regular expression over bytes: ASCII classes, and a bounded longest match.
    Pattern(String),
}

/// A detector ready to run.
#[derive(Clone, Debug)]
pub(super) enum Detector {
    Card,
    Email,
    /// Secrets that are known from elsewhere.
    Known(Known),
    Long(Long),
    Pattern(Pattern),
    /// Secrets that are known by where they stand.
    Secret,
}

impl Detector {
    pub(super) fn compile(spec: &DetectorSpec) -> Result<Self, Error> {
        let name = spec.name.as_str();
        Ok(match &spec.kind {
            DetectorKind::Builtin(builtin) => match builtin.find {
                Find::Card => Self::Card,
                Find::Email => Self::Email,
                Find::Long(begin, rest) => Self::Long(Long::compile(name, begin, rest)?),
                Find::Pattern(pattern) => Self::Pattern(Pattern::compile(name, pattern)?),
            },
            DetectorKind::Pattern(pattern) => Self::Pattern(Pattern::compile(name, pattern)?),
        })
    }

    /// Adds every match that starts at or after `from` and cannot change any more, and returns the offset
    /// from which on that is not known yet; the next search starts there. A match may be added again.
    ///
    /// INVARIANT: what is added and returned for a text does not depend on how it was cut into windows.
    pub(super) fn search(
        &self,
        window: Window<'_>,
        memory: &mut Memory,
        found: &mut Vec<Range<usize>>,
    ) -> usize {
        match self {
            Self::Card => card::search(window, found),
            Self::Email => email::search(window, found),
            Self::Known(known) => known.search(window, found),
            Self::Long(long) => long.search(window, memory, found),
            Self::Pattern(pattern) => pattern.search(window, memory, found),
            Self::Secret => secret::search(window, found),
        }
    }

    /// The part of a match that [`Style::Partial`](super::Style::Partial) keeps.
    pub(super) fn tail<'t>(&self, matched: &'t str) -> Option<&'t str> {
        match self {
            Self::Email => email::domain(matched),
            Self::Known(_) | Self::Secret => None,
            Self::Card | Self::Long(_) | Self::Pattern(_) => {
                let (start, _) = matched.char_indices().rev().nth(3)?;
                (matched.chars().count() >= 12).then(|| matched.get(start..)).flatten()
            }
        }
    }
}
