// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the daemon tells the programs about processes of which only connections to endpoints are taken.

use super::AGENT_NAME_BYTES;

/// How much of a process's egress is taken.
pub mod capture {
    /// All of it: the process is guarded.
    pub const ALL: u32 = 0;
    /// Connections to addresses of endpoints; the process is not guarded otherwise.
    pub const ENDPOINTS: u32 = 1;
    /// The same, and nothing but such a connection made the process an agent: whatever else would make it one
    /// comes first.
    pub const ANY: u32 = 2;
}

/// Nanoseconds in a clock tick as `/proc` counts them (`USER_HZ` is 100).
pub const NANOSECONDS_IN_TICK: u64 = 10_000_000;

/// An address and port of an endpoint.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointKey {
    /// As in [`super::OriginKey::address`].
    pub address: [u8; 16],
    /// Host byte order.
    pub port: u16,
    /// Always zero.
    pub padding: [u16; 3],
}

/// Whether processes that are nobody's are watched, and who never is.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// When the daemon started, in clock ticks since boot: with its process id it names it for good.
    pub daemon_started: u64,
    /// Process id (thread group) of the daemon in the initial namespace.
    pub daemon: u32,
    /// Not zero: a process that is nobody's and connects to an endpoint becomes an agent by that.
    pub is_any: u32,
    /// The name of that agent, UTF-8, padded with zero bytes.
    pub agent: [u8; AGENT_NAME_BYTES],
}

const _: () = assert!(size_of::<EndpointKey>() == 24);
const _: () = assert!(size_of::<Watch>() == 72);
