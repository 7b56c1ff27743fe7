// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How answers come.

use crate::protocol::answer::Shape;

use super::{error, tables};

/// Chat completions, and what has no shape of its own.
pub(super) static CHAT: Shape =
    Shape { tables: &tables::CHAT, events: None, last_event: error::last_event };
