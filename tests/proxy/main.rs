// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole data path in one process, without root: the original destination is given by the test, the
//! provider is a stand-in on loopback, clients and certificates are real.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test panics with the cause"
)]
#![expect(clippy::disallowed_methods, reason = "a panic of a spawned task fails the test anyhow")]

mod answers;
mod approvals;
mod budgets;
mod carriers;
mod chats;
mod client;
mod encoded;
mod hostile;
mod large;
mod messages;
mod obligations;
mod opaque;
mod provider;
mod recording;
mod reload;
mod responses;
mod rig;
mod sent;
mod tool_calls;
mod words;
