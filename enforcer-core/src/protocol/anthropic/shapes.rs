// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How answers come.

use crate::protocol::answer::{Events, Shape};

use super::{error, tables};

/// Messages, and what has no shape of its own.
pub(super) static MESSAGES: Shape = Shape {
    tables: &tables::MESSAGES,
    events: Some(&Events {
        pieces: &["content_block_delta"],
        whole: &["citation", "content", "encrypted_content", "signature"],
        payloads: &[],
        starts: &["content_block_start"],
        ends: &["content_block_stop", "message_stop"],
        last: &["message_stop"],
    }),
    last_event: error::last_event,
};
