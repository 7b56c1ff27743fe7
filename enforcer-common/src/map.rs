// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of the maps, as they appear in the object and as pin file names.

/// `ARRAY[1]` of [`super::Settings`].
pub const SETTINGS: &str = "SETTINGS";
/// `HASH` cgroup id (`u64`) → [`super::Label`].
pub const GUARDED: &str = "GUARDED";
/// `HASH` process id (`u32`, thread group) → [`super::ProcessLabel`].
pub const PROCESSES: &str = "PROCESSES";
/// `ARRAY` of bytes, one for each possible process id: set for every guarded process. It cannot be full,
/// so a process whose label did not find room is still known to be guarded.
pub const MARKS: &str = "MARKS";
/// `ARRAY` of [`super::Selector`]: two halves, of which one is in force.
pub const SELECTORS: &str = "SELECTORS";
/// `ARRAY[1]` of `u32`: which half of the selectors is in force, 0 or 1.
pub const SELECTION: &str = "SELECTION";
/// `HASH` [`super::CgroupName`] → bits (`u64`) of the places that selectors name.
pub const PLACES: &str = "PLACES";
/// `HASH` cgroup id (`u64`) → bits (`u64`) of the places that this cgroup is.
pub const CGROUPS: &str = "CGROUPS";
/// `HASH` session id (`u64`) → [`super::SessionStart`]: sessions that no `enforcer run` began.
pub const SESSIONS: &str = "SESSIONS";
/// `ARRAY[1]` of [`super::Watch`].
pub const WATCH: &str = "WATCH";
/// `HASH` [`super::EndpointKey`] → a byte: where connections of processes that are not guarded are taken.
pub const ENDPOINTS: &str = "ENDPOINTS";
/// `HASH` network namespace cookie (`u64`) → [`super::Door`].
pub const DOORS: &str = "DOORS";
/// `LRU_HASH` [`super::OriginKey`] → [`super::Origin`].
pub const ORIGINS: &str = "ORIGINS";
/// `SK_STORAGE` of [`super::Origin`]: lives and dies with the client socket.
pub const SOCKET_ORIGIN: &str = "SOCKET_ORIGIN";
/// `SK_STORAGE` of [`super::Servers`].
pub const SOCKET_SERVERS: &str = "SOCKET_SERVERS";
/// `SK_STORAGE` of [`super::SocketLabel`], copied to accepted sockets: who made a socket.
pub const SOCKET_LABEL: &str = "SOCKET_LABEL";
/// `ARRAY[1]` of [`super::Hardening`].
pub const HARDENING: &str = "HARDENING";
/// `HASH` path of a Unix socket, padded with zero bytes → a byte: sockets of others that are no way out.
pub const UNIX_ALLOWED: &str = "UNIX_ALLOWED";
/// `ARRAY[1]` of `u64`: calls of bpf(2) by the daemon, as the security hook saw them.
pub const LSM_CALLS: &str = "LSM_CALLS";
/// `RINGBUF` of [`super::Event`].
pub const EVENTS: &str = "EVENTS";
/// `PERCPU_ARRAY[1]` of `u64`: events that found the ring full. Never changes a verdict.
pub const EVENTS_LOST: &str = "EVENTS_LOST";
