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
mod around;
mod authority;
mod budgets;
mod carrier;
mod chats;
mod client;
mod connections;
mod frames;
mod hidden;
mod hostile;
mod large;
mod load;
mod log;
mod obligations;
mod opaque;
mod passthrough;
mod patience;
mod provider;
mod record;
mod recorded;
mod reload;
mod rig;
mod sent;
mod shared;
mod stored;
mod upstream;
mod why;
