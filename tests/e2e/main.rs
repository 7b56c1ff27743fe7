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

mod alarms;
mod calls;
mod chat;
mod clock;
mod command;
mod confined;
mod crash;
mod descendants;
mod disk;
mod drain;
mod environment;
mod first_start;
mod follow;
mod grades;
mod guest;
mod input;
mod kernel_faults;
mod ledger;
mod lookups;
mod namespace;
mod people;
mod record;
mod reload;
mod resolver;
mod scene;
mod select;
mod shadow;
mod starved;
mod stopped;
mod trust;
mod uninstall;
mod walk;
mod ways;
