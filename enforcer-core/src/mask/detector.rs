// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a detector is.

use std::ops::Range;

use crate::model::DetectorName;

use super::pattern::{Memory, Pattern};
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

/// The detectors that come with the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Payment card numbers.
    CreditCard,
    /// E-mail addresses.
    Email,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::CreditCard, Self::Email];

    /// The name that stands in bundles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreditCard => "credit-card",
            Self::Email => "email",
        }
    }

    /// The detector of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|builtin| builtin.name() == name)
    }
}

/// A detector ready to run.
#[derive(Clone, Debug)]
pub(super) enum Detector {
    Card,
    Email,
    Pattern(Pattern),
}

/// The window that a detector looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'t> {
    /// Context, then what is to be searched.
    pub(super) text: &'t str,
    /// Where the search starts; what is before is context only.
    pub(super) from: usize,
    /// True if nothing can follow.
    pub(super) is_end: bool,
}

impl Detector {
    pub(super) fn compile(spec: &DetectorSpec) -> Result<Self, Error> {
        Ok(match &spec.kind {
            DetectorKind::Builtin(Builtin::CreditCard) => Self::Card,
            DetectorKind::Builtin(Builtin::Email) => Self::Email,
            DetectorKind::Pattern(pattern) => {
                Self::Pattern(Pattern::compile(spec.name.as_str(), pattern)?)
            }
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
            Self::Pattern(pattern) => pattern.search(window, memory, found),
        }
    }

    /// The part of a match that [`Style::Partial`](super::Style::Partial) keeps.
    pub(super) fn tail<'t>(&self, matched: &'t str) -> Option<&'t str> {
        match self {
            Self::Email => email::domain(matched),
            Self::Card | Self::Pattern(_) => {
                let (start, _) = matched.char_indices().rev().nth(3)?;
                (matched.chars().count() >= 12).then(|| matched.get(start..)).flatten()
            }
        }
    }
}
