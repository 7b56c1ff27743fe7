// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon, the command line and the clients as people use them: built programs, the real kernel,
//! unchanged SDKs. Each test has a host of its own and leaves nothing behind.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first thing that is not as expected"
)]

mod agents;
mod chat;
mod faults;
mod follow;
mod grades;
mod guest;
mod ledger;
mod messages;
mod people;
mod record;
mod reload;
mod responses;
mod scene;
mod secrets;
mod tool_calls;
mod trust;
mod uninstall;
mod walk;
mod ways;
