// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Unconnected UDP of a guarded task: port 53 goes to the resolver, the rest nowhere; and what hides
//! the redirect from the task: answers and peer names show the server that was asked.
//!
//! A socket remembers the last few servers that it asked, each with the port of the resolver that the query went
//! to, so that answers to queries in flight at the same time are told apart.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::programs::SockAddrContext;
use enforcer_common::{Hook, PROTOCOL_UDP, RESOLVER_PORTS, Refusal, Server, Servers};

use crate::address::{self, Family};
use crate::connect::{self, GO_ON, REFUSE};
use crate::event::{self, Attempt};
use crate::maps;
use crate::task;
use crate::watch;

/// `cgroup/sendmsg4` and `cgroup/sendmsg6`.
#[inline(always)]
pub(crate) fn sendmsg(ctx: &SockAddrContext, family: Family) -> i32 {
    let settings = task::settings();
    let standing = task::standing(settings);
    if !standing.is_guarded() {
        return watch::sendmsg(ctx, family, settings, &standing);
    }
    let task = standing.task();
    let attempt = address::attempt(ctx, family);
    // UDP-Lite and ping cannot be made, but can be received from another process.
    let verdict = match attempt.protocol {
        PROTOCOL_UDP => connect::redirect(ctx, family, settings, &task, &attempt),
        _ => Err(Refusal::SocketKind),
    };
    match verdict {
        Ok(()) => GO_ON,
        Err(refusal) => {
            event::refused(Hook::Sendmsg, refusal, &task, &named(ctx, attempt));
            REFUSE
        }
    }
}

/// The attempt with the address that it would go to. A connected socket whose message has control data with it
/// comes here without one.
#[inline(always)]
fn named(ctx: &SockAddrContext, attempt: Attempt) -> Attempt {
    match maps::socket_origin(address::socket(ctx)) {
        Some(origin) if attempt.port == 0 && origin.protocol == PROTOCOL_UDP => {
            Attempt { address: origin.address, port: origin.port, ..attempt }
        }
        _ => attempt,
    }
}

/// Which port of the resolver a query goes to, counted from the first: another one for each server that the
/// socket asks. None when there is no memory to remember it.
#[inline(always)]
pub(crate) fn server_index(socket: *mut c_void, attempt: &Attempt) -> Option<u16> {
    let servers = maps::socket_servers(socket, true)?;
    let asked = address::words(&attempt.address);
    for (index, known) in servers.list.iter().enumerate() {
        if known.port == attempt.port && address::words(&known.address) == asked {
            return Some(index as u16);
        }
    }
    let index = servers.next % u32::from(RESOLVER_PORTS);
    servers.next = servers.next.wrapping_add(1);
    let place = place(servers, index)?;
    (place.address, place.port) = (attempt.address, attempt.port);
    Some(index as u16)
}

/// The place with this index. The bound is put on the very register that is added to the address: the verifier
/// follows no comparison of a copy.
#[inline(always)]
fn place(servers: &mut Servers, index: u32) -> Option<&mut Server> {
    // SAFETY: the reference is valid; the read only hides the value's range from the compiler.
    let index = unsafe { ptr::read_volatile(&raw const index) } % u32::from(RESOLVER_PORTS);
    servers.list.get_mut(index as usize)
}

/// `cgroup/recvmsg4` and `cgroup/recvmsg6`: only what comes from our resolver is renamed.
#[inline(always)]
pub(crate) fn recvmsg(ctx: &SockAddrContext, family: Family) {
    let socket = address::socket(ctx);
    let Some(origin) = maps::socket_origin(socket) else {
        return;
    };
    let attempt = address::attempt(ctx, family);
    if origin.protocol != PROTOCOL_UDP || !address::is_loopback(&attempt.address) {
        return;
    }
    let index = task::door(origin.netns).and_then(|door| door.resolver_index(attempt.port));
    let server = index.and_then(|index| {
        let servers = maps::socket_servers(socket, false)?;
        place(servers, u32::from(index)).map(|server| *server)
    });
    if let Some(server) = server
        && server.port != 0
    {
        address::rewrite(ctx, family, &server.address, server.port);
    }
}

/// `cgroup/getpeername4` and `cgroup/getpeername6`. The peer of a datagram socket is the resolver only where it was
/// connected to a name server; it may have sent to one besides.
#[inline(always)]
pub(crate) fn getpeername(ctx: &SockAddrContext, family: Family) {
    let Some(origin) = maps::socket_origin(address::socket(ctx)) else {
        return;
    };
    if origin.protocol == PROTOCOL_UDP {
        let peer = address::attempt(ctx, family);
        if !task::door(origin.netns).is_some_and(|door| connect::is_own_port(&door, &peer)) {
            return;
        }
    }
    address::rewrite(ctx, family, &origin.address, origin.port);
}
