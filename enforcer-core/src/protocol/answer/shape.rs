// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the answers of an API come.

use std::fmt;

use crate::model::{Denied, ExchangeId};
use crate::protocol::body::Tables;

use super::events::Events;

/// How the answers of an API come.
pub struct Shape {
    /// Which of their strings are no text.
    pub tables: &'static Tables,
    /// How streams come, if their events have types; else each is a chunk of choices.
    pub events: Option<&'static Events>,
    /// The last event of a stream that is cut off: a refusal, and no normal end marker after it.
    pub last_event: fn(&Denied, Option<ExchangeId>) -> Vec<u8>,
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shape").finish_non_exhaustive()
    }
}
