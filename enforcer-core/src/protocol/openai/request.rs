// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Chat completion requests: facts and masking.

use std::collections::BTreeSet;

use crate::mask::{DetectorSet, Masker};
use crate::model::{Chat, DetectorName, OpaqueCause};

use super::MaskedBody;

/// What a chat completion request asks, and what the detectors found in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatRequest {
    /// The facts of the action `chat`.
    pub facts: Chat,
    /// Detectors that found something anywhere in the body.
    pub detected: BTreeSet<DetectorName>,
}

/// Reads a request body.
///
/// # Errors
/// The cause by which the request becomes `opaque`.
pub fn decode_chat(_body: &[u8], _detectors: &DetectorSet) -> Result<ChatRequest, OpaqueCause> {
    Err(OpaqueCause::Fields)
}

/// Masks the texts of a request body.
///
/// # Errors
/// The cause by which the request becomes `opaque`.
pub fn mask_chat_request(_body: &[u8], _masker: &Masker) -> Result<MaskedBody, OpaqueCause> {
    Err(OpaqueCause::Fields)
}
