// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answers of any API, each read once: for the agent, for the record and for accounting.

pub(super) mod calls;
mod chunks;
mod error;
mod events;
mod masking;
mod meter;
mod place;
mod plain;
mod shape;
mod stream;
mod usage;
mod wants;

pub use calls::{Calls, Judge, JudgedCall, Outcome};
pub use error::StreamError;
pub use events::Events;
pub use plain::{Answer, read_answer};
pub use shape::Shape;
pub use stream::{AnswerStream, Pieces};
pub use wants::{Keep, Wants};
