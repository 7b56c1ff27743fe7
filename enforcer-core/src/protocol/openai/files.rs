// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files and pictures that a request refers to: the provider reads them, nobody on the way does.

use std::collections::BTreeSet;

use crate::protocol::body::media_type;
use crate::protocol::json_tree::Node;

/// Most files of one request.
const FILES_MAX: usize = 1024;
/// Longest id or address of a file as a fact, in bytes; the rest of a longer one is left out.
const FILE_BYTES_MAX: usize = 2048;
/// Members that hold the id or the address of a file, or a list of ids.
const MEMBERS: [&str; 4] = ["file_id", "file_ids", "file_url", "image_url"];
/// Members in which an agent describes its own tools: their names mean what the agent wants.
const SCHEMAS: [&str; 4] = ["arguments", "input_schema", "output_schema", "parameters"];

/// Adds the id or the address of a file; what is sent along is none. `None` if it is no text, or there are too
/// many.
pub(super) fn add(files: &mut BTreeSet<String>, file: &Node<'_>) -> Option<()> {
    let file = file.text()?;
    // What is in the request itself is no reference.
    if media_type(file).is_none_or(str::is_empty) {
        let end = file.floor_char_boundary(FILE_BYTES_MAX);
        files.insert(file.get(..end)?.to_owned());
    }
    (files.len() <= FILES_MAX).then_some(())
}

/// Adds every file that an item or a list of tools refers to, however deep.
pub(super) fn add_all(files: &mut BTreeSet<String>, node: &Node<'_>) -> Option<()> {
    match node {
        Node::Array(items) => items.iter().try_for_each(|item| add_all(files, item)),
        Node::Object(members) => members.iter().try_for_each(|(name, node)| match node {
            _ if SCHEMAS.contains(&name.as_ref()) => Some(()),
            Node::String(_) if MEMBERS.contains(&name.as_ref()) => add(files, node),
            Node::Array(ids) if MEMBERS.contains(&name.as_ref()) => {
                ids.iter().try_for_each(|id| add(files, id))
            }
            node => add_all(files, node),
        }),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => Some(()),
    }
}
