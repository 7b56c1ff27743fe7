// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which strings of messages are no text.

use crate::protocol::body::Tables;

/// Messages and what else has no tables of its own.
pub(super) static MESSAGES: Tables = Tables {
    word_places: &["**/type", "**/role", "**/stop_reason"],
    words: &["assistant", "error", "message", "text", "user"],
    name_places: &["model", "**/id", "**/tool_use_id"],
    payload_places: &["**/source/data"],
    number_places: &["max_tokens", "index", "usage/**", "message/usage/**"],
    token_lists: &[],
};
