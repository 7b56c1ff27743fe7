// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel side on the real kernel: each test attaches the programs to a cgroup of its own, in a network
//! namespace of its own, and leaves nothing behind.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first thing that is not as expected"
)]

mod datagram;
mod descent;
mod egress;
mod hardened;
mod hooks;
mod label;
mod lifecycle;
mod origin;
mod protection;
mod redirect;
mod select;
mod socket_kind;
mod storm;
