// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plain answers, each read once: for the agent, for the record and for accounting.

use crate::mask::Masker;
use crate::model::limits::USAGE_TOKENS_MAX;
use crate::model::{OpaqueCause, Passed, Usage};
use crate::protocol::json_tree::Node;

use super::mask::mask_body;
use super::stream::{Keep, Wants};
use super::{MaskedBody, meter};

/// What became of a plain answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For the agent; none where it gets what the provider sent.
    pub deliver: Option<Vec<u8>>,
    /// For the record, if something is kept and could be masked; none in place of what the agent gets.
    pub keep: Option<Vec<u8>>,
    /// False if it should be kept and could not be masked.
    pub is_kept_whole: bool,
    /// Places masked for the agent.
    pub masked: u64,
    /// The tokens that the provider reports.
    pub usage: Option<Usage>,
    /// What it says, for accounting.
    pub passed: Passed,
}

/// Reads a plain answer, an error answer too. Arguments of tool calls, and other JSON inside a string, stay JSON.
///
/// # Errors
/// Why the answer cannot be masked; it must not be passed on then.
pub fn read_answer(body: &[u8], wants: &Wants) -> Result<Answer, OpaqueCause> {
    let mut answer = Answer { is_kept_whole: true, ..Answer::default() };
    // Two readers may read it differently, so nobody accounts by it.
    let node = Node::read(body).ok();
    answer.usage = node.as_ref().and_then(usage_of);
    let text_bytes = node.as_ref().map_or(body.len() as u64, meter::text_bytes);
    answer.passed = Passed { pieces: 0, text_bytes };
    if let Some(masker) = &wants.deliver {
        let masked = mask_chat_response(body, masker)?;
        answer.masked = masked.count;
        answer.deliver = Some(masked.bytes);
    }
    match &wants.keep {
        Keep::Nothing => {}
        Keep::AsDelivered => {
            answer.keep = Some(answer.deliver.clone().unwrap_or_else(|| body.to_vec()))
        }
        Keep::Masked(masker) => match mask_chat_response(body, masker) {
            Ok(masked) => answer.keep = Some(masked.bytes),
            Err(_cause) => answer.is_kept_whole = false,
        },
    }
    Ok(answer)
}

/// Masks the texts of an answer.
pub(super) fn mask_chat_response(body: &[u8], masker: &Masker) -> Result<MaskedBody, OpaqueCause> {
    mask_body(body, masker)
}

/// The tokens that the provider reports in an answer or a chunk. What is no whole number, or zero altogether,
/// reports nothing.
pub(super) fn usage_of(body: &Node<'_>) -> Option<Usage> {
    let usage = body.set("usage")?;
    let number = |name: &str| match usage.set(name) {
        None => Some(0),
        Some(node) => node.number().map(|tokens| tokens.min(USAGE_TOKENS_MAX)),
    };
    let (input_tokens, output_tokens) = (number("prompt_tokens")?, number("completion_tokens")?);
    (input_tokens > 0 || output_tokens > 0).then_some(Usage { input_tokens, output_tokens })
}
