// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a streamed answer cannot be passed on.

use crate::model::limits::STREAM_TEXTS_MAX;
use crate::protocol::sse;

/// Why a stream cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A text of a choice that is finished: what came before it went out as a whole.
    #[error("failed to read a stream: a text follows the finish of its choice")]
    AfterFinish,
    /// Calls of tools that cannot be followed: two in one place, pieces of one that never began, or too many.
    #[error("failed to judge a stream: a call of a tool in it cannot be followed")]
    Calls,
    /// Choices or events that two clients could sort differently.
    #[error(
        "failed to read a stream: a choice or an event that two clients could take for different ones"
    )]
    Choices,
    /// The bytes are no stream of events.
    #[error("failed to read a stream: {0}")]
    Events(#[from] sse::Error),
    /// An event whose data is not the JSON of the API.
    #[error("failed to read a stream: the data of an event is not valid JSON")]
    NotJson,
    /// An id or a name in pieces that have to be masked together.
    #[error("failed to mask a stream: an id or a name comes in pieces")]
    SplitName,
    /// More texts at once than can be followed.
    #[error(
        "failed to mask a stream: more than {STREAM_TEXTS_MAX} texts at once, or too long names"
    )]
    TooManyTexts,
}
