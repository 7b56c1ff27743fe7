// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the texts of a streamed answer stand, so that pieces of one text are known as such.
//!
//! A client shows one text for each choice, in whichever form the provider sends its pieces: `delta.content` as a
//! string or as a list of parts, `text` as in completions, `message.content` at once. All of these are one
//! place. What two clients could sort differently is refused: an index that is no whole number, a choice that
//! was not asked for, the same choice twice in one chunk.

use crate::protocol::json_text::Step;
use crate::protocol::json_tree::Node;

use super::error::StreamError;

/// Where something arrives piece by piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) choice: u64,
    /// The way from `delta`, by the indexes that the provider gives.
    pub(super) path: Vec<Step>,
}

impl Place {
    /// Bytes that it takes to remember it.
    pub(super) fn bytes(&self) -> usize {
        let step = |step: &Step| match step {
            Step::Key(name) => name.len(),
            Step::Item(_) => 0,
        };
        size_of::<Self>() + self.path.iter().map(|it| size_of::<Step>() + step(it)).sum::<usize>()
    }
}

/// The place of a string, if pieces may follow; none where the string is whole.
pub(super) fn place_of(chunk: &Node<'_>, path: &[Step]) -> Option<Place> {
    let [Step::Key(choices), Step::Item(position), rest @ ..] = path else { return None };
    if choices != "choices" {
        return None;
    }
    let choice = chunk.at("choices")?.items()?.get(*position)?;
    let (mut node, rest) = match rest {
        [Step::Key(name), rest @ ..] if name == "delta" || name == "message" => {
            (choice.at(name)?, rest)
        }
        rest => (choice, rest),
    };
    // Annotations come whole.
    if matches!(rest.first(), Some(Step::Key(name)) if name == "annotations") {
        return None;
    }
    let mut indexed = Vec::with_capacity(rest.len());
    for step in rest {
        match step {
            Step::Key(name) => {
                node = node.at(name)?;
                indexed.push(step.clone());
            }
            Step::Item(position) => {
                node = node.items()?.get(*position)?;
                let index = usize::try_from(wire_index(node, *position)).ok()?;
                indexed.push(Step::Item(index));
            }
        }
    }
    Some(Place { choice: wire_index(choice, *position), path: one_form(indexed) })
}

/// The text of a choice in its one form.
fn one_form(path: Vec<Step>) -> Vec<Step> {
    let member = match path.as_slice() {
        [Step::Key(text)] if text == "text" => "content",
        [Step::Key(content), Step::Item(_)] if content == "content" => "content",
        [Step::Key(content), Step::Item(_), Step::Key(text)]
            if content == "content" && text == "text" =>
        {
            "content"
        }
        [Step::Key(content), Step::Item(_), Step::Key(text)]
            if content == "content" && text == "refusal" =>
        {
            "refusal"
        }
        _ => return path,
    };
    vec![Step::Key(member.to_owned())]
}

/// The choices of a chunk with their indexes.
pub(super) fn choices<'n>(chunk: &'n Node<'n>) -> impl Iterator<Item = (u64, &'n Node<'n>)> {
    let items = chunk.at("choices").and_then(Node::items).unwrap_or_default();
    let index = |(position, choice)| (wire_index(choice, position), choice);
    items.iter().enumerate().map(index)
}

/// Whether a choice ends with this chunk.
pub(super) fn is_finished(choice: &Node<'_>) -> bool {
    choice.at("finish_reason").and_then(Node::text).is_some_and(|reason| !reason.is_empty())
}

/// Refuses a chunk whose pieces two clients could sort differently. `count` choices were asked for.
pub(super) fn check(chunk: &Node<'_>, count: u64) -> Result<(), StreamError> {
    let Some(listed) = chunk.set("choices") else { return Ok(()) };
    let items = listed.items().ok_or(StreamError::Choices)?;
    let mut seen = Vec::with_capacity(items.len());
    for (index, choice) in choices(chunk) {
        let is_right = matches!(choice, Node::Object(_))
            && index < count
            && !seen.contains(&index)
            && has_plain_indexes(choice);
        if !is_right {
            return Err(StreamError::Choices);
        }
        seen.push(index);
    }
    Ok(())
}

fn has_plain_indexes(node: &Node<'_>) -> bool {
    match node {
        Node::Object(members) => members.iter().all(|(name, node)| {
            let is_plain = name != "index" || *node == Node::Null || node.number().is_some();
            is_plain && has_plain_indexes(node)
        }),
        Node::Array(items) => items.iter().all(has_plain_indexes),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => true,
    }
}

/// The index that the provider gives an item, or its position.
fn wire_index(item: &Node<'_>, position: usize) -> u64 {
    item.at("index").and_then(Node::number).unwrap_or(position as u64)
}
