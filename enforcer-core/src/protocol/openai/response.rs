// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plain chat completion answers: masking and usage.

use crate::mask::Masker;
use crate::model::{OpaqueCause, Usage};
use crate::protocol::json_tree::Node;

use super::MaskedBody;
use super::mask::mask_body;

/// Masks the texts of an answer, of an error answer too. Arguments of tool calls, and other JSON inside a
/// string, stay JSON.
///
/// # Errors
/// Why the answer is not understood; it must not be passed on then.
pub fn mask_chat_response(body: &[u8], masker: &Masker) -> Result<MaskedBody, OpaqueCause> {
    mask_body(body, masker)
}

/// The tokens that the provider says it used.
#[must_use]
pub fn usage(body: &[u8]) -> Option<Usage> {
    usage_of(&Node::read(body).ok()?)
}

/// As [`usage`], of an answer or a chunk that was read already.
pub(super) fn usage_of(body: &Node<'_>) -> Option<Usage> {
    let usage = body.set("usage")?;
    let number = |name: &str| usage.at(name).and_then(Node::number);
    let (input_tokens, output_tokens) = (number("prompt_tokens"), number("completion_tokens"));
    (input_tokens.is_some() || output_tokens.is_some()).then(|| Usage {
        input_tokens: input_tokens.unwrap_or(0),
        output_tokens: output_tokens.unwrap_or(0),
    })
}
