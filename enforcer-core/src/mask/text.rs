// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Texts that may be JSON themselves.

use super::Masker;
use super::masker::Masked;
use super::masker::MaskStream;

/// stub
#[derive(Clone, Debug)]
pub struct TextStream { inner: MaskStream }
impl Masker {
    /// Masks a whole text that may be JSON itself.
    #[must_use]
    pub fn mask_text<'t>(&self, text: &'t str) -> Masked<'t> { self.mask(text) }
    /// stub
    #[must_use]
    pub fn text_stream(&self) -> TextStream { TextStream { inner: self.stream() } }
}
