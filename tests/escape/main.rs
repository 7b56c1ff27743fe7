// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways out that a guarded process may try, one file each. `technique.rs` says how they are tried, and
//! `docs/bypasses.md` lists them with what stops them, those that this suite cannot try among them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first thing that is not as expected"
)]

mod connected;
mod identity;
mod kind;
mod local;
mod namespace;
mod network;
mod option;
mod ring;
mod stranger;
mod tcp;
mod technique;
mod udp;
