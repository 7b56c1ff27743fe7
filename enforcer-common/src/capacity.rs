// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Capacities of the maps, in entries (the ring: in bytes).

/// Sessions alive at once.
pub const GUARDED: u32 = 4096;
/// Guarded processes alive at once that are known by name. One more is refused everything.
pub const PROCESSES: u32 = 65_536;
/// One more than the highest process id of any kernel (`PID_MAX_LIMIT` on 64 bits).
pub const PIDS: u32 = 4 * 1024 * 1024;
/// Bytes in one element of the array of marks.
pub const MARKS_IN_PAGE: u32 = 4096;
/// Entries in one half of the selectors (see `enforcer_core::model::limits::SELECTORS_MAX`).
pub const SELECTORS: u32 = 64;
/// Units and cgroups that selectors name: those of two bundles, one bit for each.
pub const PLACES: u32 = 64;
/// Cgroups at once that are one of those. Another one is found by the daemon's next look.
pub const CGROUPS: u32 = 16_384;
/// Sessions alive at once that no `enforcer run` began. What would be one more is refused everything.
pub const SESSIONS: u32 = 16_384;
/// Addresses and ports of endpoints at once (see `enforcer_core::model::limits::ENDPOINT_ADDRESSES_MAX`).
pub const ENDPOINTS: u32 = 16_384;
/// Network namespaces with a proxy at once.
pub const DOORS: u32 = 1024;
/// Redirected connections whose origin was not taken yet; an evicted one is refused, never guessed.
pub const ORIGINS: u32 = 65_536;
/// Allowed paths of Unix sockets.
pub const UNIX_ALLOWED: u32 = 64;
/// Bytes of the event ring; a power of two and a multiple of the page size.
pub const EVENTS_BYTES: u32 = 512 * 1024;
