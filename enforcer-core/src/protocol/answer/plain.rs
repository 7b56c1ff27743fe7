// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plain answers, each read once: for the agent, for the record and for accounting.

use crate::model::{OpaqueCause, Passed, Usage};
use crate::protocol::body::mask_body;
use crate::protocol::json_tree::Node;

use super::calls::{Calls, JudgedCall, Ledger, Unclear, judge_all};
use super::meter;
use super::shape::Shape;
use super::usage::usage_of;
use super::wants::{Keep, Wants};

/// What became of a plain answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For the agent; none where it gets what the provider sent.
    pub deliver: Option<Vec<u8>>,
    /// For the record, if something is kept and could be masked; none in place of what the agent gets.
    pub keep: Option<Vec<u8>>,
    /// False if it should be kept and could not be masked.
    pub is_kept_whole: bool,
    /// The calls of tools in it, and what was decided.
    pub calls: Vec<JudgedCall>,
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
pub fn read_answer(
    shape: &'static Shape,
    body: &[u8],
    wants: &Wants,
) -> Result<Answer, OpaqueCause> {
    let mut answer = Answer { is_kept_whole: true, ..Answer::default() };
    // Two readers may read it differently, so nobody accounts by it.
    let node = Node::read(body).ok();
    answer.usage = node.as_ref().and_then(usage_of);
    let measure = if shape.events.is_some() { meter::answer_bytes } else { meter::text_bytes };
    let text_bytes = node.as_ref().map_or(body.len() as u64, measure);
    answer.passed = Passed { pieces: 0, text_bytes };
    let (judged, calls) = judged(node.as_ref(), body, &wants.calls)?;
    answer.calls = calls;
    let body = judged.as_deref().unwrap_or(body);
    if let Some(masker) = &wants.deliver {
        let masked = mask_body(shape.tables, body, masker)?;
        answer.masked = masked.count;
        answer.deliver = Some(masked.bytes);
    }
    if answer.deliver.is_none() {
        answer.deliver.clone_from(&judged);
    }
    match &wants.keep {
        Keep::Nothing => {}
        Keep::Masked(masker) => match mask_body(shape.tables, body, masker) {
            Ok(masked) => answer.keep = Some(masked.bytes),
            Err(_cause) => answer.is_kept_whole = false,
        },
    }
    Ok(answer)
}

/// Judges the calls of a plain answer. What it becomes comes back, if it changes, and what was decided.
fn judged(
    node: Option<&Node<'_>>,
    body: &[u8],
    calls: &Calls,
) -> Result<(Option<Vec<u8>>, Vec<JudgedCall>), OpaqueCause> {
    if !calls.are_judged() || body.is_empty() {
        return Ok((None, Vec::new()));
    }
    let Some(node) = node else {
        let nothing = (None, Vec::new());
        return if calls.are_held() { Err(OpaqueCause::NotJson) } else { Ok(nothing) };
    };
    let (mut value, mut ledger) = (node.to_value(), Ledger::new(calls.clone()));
    let is_changed = match judge_all(&mut value, &mut ledger) {
        Ok(is_changed) => is_changed && calls.are_held(),
        Err(Unclear) if calls.are_held() => return Err(OpaqueCause::Fields),
        Err(Unclear) => false,
    };
    Ok((is_changed.then(|| value.to_string().into_bytes()), ledger.take()))
}
