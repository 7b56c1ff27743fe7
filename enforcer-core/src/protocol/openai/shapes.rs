// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How answers come.

use crate::protocol::answer::{Events, Shape};

use super::{error, tables};

/// Chat completions and completions: chunks of choices.
pub(super) static CHAT: Shape =
    Shape { tables: &tables::CHAT, events: None, last_event: error::last_event };

/// Responses, and what has no shape of its own: streams of typed events. A stream of anything else cannot be
/// masked.
pub(super) static TYPED: Shape =
    Shape { tables: &tables::TYPED, events: Some(&EVENTS), last_event: error::last_typed_event };

/// The events of the Responses API (openai-python 3.54, `types/responses/response_stream_event.py`), and of other
/// APIs that name their events like it: transcriptions, speech.
static EVENTS: Events = Events {
    pieces: &["*.delta"],
    whole: &[],
    payloads: &["response.audio.delta", "response.output_audio.delta"],
    starts: &["*.added"],
    ends: &["*.done"],
    last: &["response.completed", "response.failed", "response.incomplete"],
};
