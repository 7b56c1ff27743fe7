// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `setsockopt()` of a guarded task: no route and no device of its own, no group that the kernel would announce.
//!
//! A route option and a bound device win against a rewritten destination; `egress.rs` drops such packets, and here
//! the caller gets a clean error early. Joining a group makes the kernel itself send a packet whose content the
//! caller chooses, past every other hook, so this is the only place to stop it.

use core::ptr;

use aya_ebpf::programs::SockoptContext;
use enforcer_common::{Hook, Refusal};

use crate::event::{self, Attempt};
use crate::task;

const GO_ON: i32 = 1;
const REFUSE: i32 = 0;

const SOL_IP: i32 = 0;
const SOL_SOCKET: i32 = 1;
const SOL_TCP: i32 = 6;
const SOL_IPV6: i32 = 41;
/// A larger value is not copied for the programs; a length of zero says that the kernel's own copy stands
/// (`Documentation/bpf/prog_cgroup_sockopt.rst`).
const VALUE_BYTES_MAX: i32 = 4096;
/// A length by which the kernel leaves the option as it is and reports success (same source).
const LENGTH_OF_NO_CHANGE: i32 = -1;
/// `asm-generic/socket.h`.
const SO_BROADCAST: i32 = 6;

/// `cgroup/setsockopt`.
#[inline(always)]
pub(crate) fn set(ctx: &SockoptContext) -> i32 {
    let raw = ctx.sockopt;
    // SAFETY: the hook may read these fields.
    let (level, name, bytes) = unsafe {
        (
            ptr::read_volatile(&raw const (*raw).level),
            ptr::read_volatile(&raw const (*raw).optname),
            ptr::read_volatile(&raw const (*raw).optlen),
        )
    };
    if is_refused(level, name)
        && let Some(task) = task::current(task::settings())
    {
        let attempt =
            Attempt { option_level: level as u16, option_name: name as u16, ..Attempt::default() };
        event::refused(Hook::Setsockopt, Refusal::SocketOption, &task, &attempt);
        return REFUSE;
    }
    if is_without_effect(level, name) && task::current(task::settings()).is_some() {
        // SAFETY: the hook may write this field.
        unsafe { ptr::write_volatile(&raw mut (*raw).optlen, LENGTH_OF_NO_CHANGE) };
        return GO_ON;
    }
    if bytes > VALUE_BYTES_MAX {
        // SAFETY: the hook may write this field.
        unsafe { ptr::write_volatile(&raw mut (*raw).optlen, 0) };
    }
    GO_ON
}

/// `IP_OPTIONS`, `IP_FREEBIND`, `IP_TRANSPARENT`, and everything about groups from `IP_ADD_MEMBERSHIP` to
/// `MCAST_MSFILTER` (`linux/in.h`); `SO_BINDTODEVICE` and `SO_BINDTOIFINDEX` (`asm-generic/socket.h`); `TCP_REPAIR`, which connects without a packet (`linux/tcp.h`);
/// `IPV6_2292PKTOPTIONS`, `IPV6_ADD_MEMBERSHIP`, `IPV6_JOIN_ANYCAST`, `MCAST_JOIN_GROUP` to `MCAST_MSFILTER`,
/// `IPV6_HOPOPTS`, `IPV6_RTHDRDSTOPTS`, `IPV6_RTHDR`, `IPV6_DSTOPTS`, `IPV6_TRANSPARENT` and `IPV6_FREEBIND`
/// (`linux/in6.h`).
///
/// SECURITY: with a foreign source address (`IPV6_FREEBIND` is for everybody) the answers of the proxy and the
/// resolver would leave for that address, and an answer to a query has the question in it. A device that is bound
/// after the connect takes along the resets that the kernel sends in the name of the socket: no hook sees those.
#[inline(always)]
fn is_refused(level: i32, name: i32) -> bool {
    match level {
        SOL_IP => matches!(name, 4 | 15 | 19 | 35..=48),
        SOL_SOCKET => matches!(name, 25 | 62),
        SOL_TCP => name == 19,
        SOL_IPV6 => matches!(name, 6 | 20 | 27 | 42..=48 | 54 | 55 | 57 | 59 | 75 | 78),
        _ => false,
    }
}

/// SECURITY: the permission to broadcast. A guarded task cannot send a broadcast, but could connect to one, and of
/// what is sent there the kernel delivers a copy to listeners of this host that no hook sees. Without the permission
/// the kernel refuses the connect. Not refused here, because runtimes ask for it on every datagram socket.
#[inline(always)]
fn is_without_effect(level: i32, name: i32) -> bool {
    level == SOL_SOCKET && name == SO_BROADCAST
}
