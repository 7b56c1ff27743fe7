// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a match is replaced.

/// How a match is replaced; the doc of [`mask`](super) shows each. A stricter style is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Style {
    /// By the name and a part that identifies no person or card.
    Partial,
    /// By the name and a short hash.
    Hash,
    /// By the name.
    Label,
}

impl Style {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Partial, Self::Hash, Self::Label];

    /// The name that stands in bundles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Hash => "hash",
            Self::Label => "label",
        }
    }

    /// The style of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|style| style.name() == name)
    }
}
