// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How answers come.

use crate::protocol::answer::{Events, Shape};

use super::{error, tables};

/// Messages, and what has no shape of its own.
pub(super) static MESSAGES: Shape = Shape {
    tables: &tables::MESSAGES,
    events: Some(&Events {
        // Of messages, and of the events of a session (`event_delta`).
        pieces: &["*_delta"],
        whole: &[
            "citation/",
            "container/",
            "content",
            "encrypted_content",
            "signature",
            "stop_details/",
            "stop_reason",
            "stop_sequence",
        ],
        payloads: &[],
        starts: &["content_block_start"],
        ends: &["content_block_stop", "message_stop"],
        last: &["message_stop"],
    }),
    last_event: error::last_event,
};
