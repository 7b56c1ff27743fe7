// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plain chat completion answers: masking and usage.

use crate::mask::Masker;
use crate::model::{OpaqueCause, Usage};

use super::MaskedBody;

/// Masks the texts of an answer.
///
/// # Errors
/// Why the answer is not understood; it must not be passed on then.
pub fn mask_chat_response(_body: &[u8], _masker: &Masker) -> Result<MaskedBody, OpaqueCause> {
    Err(OpaqueCause::Fields)
}

/// The tokens that the provider says it used.
#[must_use]
pub fn usage(_body: &[u8]) -> Option<Usage> {
    None
}
