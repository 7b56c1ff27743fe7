// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Everything Enforcer decides, as pure functions of values.
//!
//! No socket, no file, no clock and no randomness is reachable from here: the same facts and the same
//! policy give the same decision on the data path, in a policy test and in a replay.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod budget;
pub mod facts;
pub mod mask;
pub mod model;
pub mod policy;
pub mod protocol;
pub mod record;
pub mod replay;
pub mod tool_calls;
