// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The text that a detector looks at, of a stream or of a whole text.

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
