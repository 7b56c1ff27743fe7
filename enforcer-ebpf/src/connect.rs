// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `connect()` of a guarded task: TCP goes to the proxy, DNS to the resolver, the rest nowhere. Only a
//! listener of the same session on loopback is reached directly (`local.rs`).
//!
//! The connect of any other datagram socket succeeds, and nothing can be sent over it: the C library connects such
//! a socket to each address of a name to learn its own source address, and sends nothing. `egress.rs` drops and
//! records what is sent.
//!
//! Decides on the current task, not on the socket, so that a socket made elsewhere is caught too.
//! Errs closed: without settings, without memory for the origin, or outside the namespace in which
//! the proxy listens, the connect is refused. A rewritten address alone does not bind the packet to
//! the loopback device; `egress.rs` does.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_setsockopt,
};
use aya_ebpf::programs::SockAddrContext;
use enforcer_common::{
    ANCESTORS, Door, Hook, NO_SESSION, Origin, PROTOCOL_TCP, PROTOCOL_UDP, Refusal, Settings,
};

use crate::address::{self, Family};
use crate::datagram;
use crate::event::{self, Attempt};
use crate::local;
use crate::maps;
use crate::task::{self, Task};
use crate::watch;

/// Verdicts of the `sock_addr` hooks: the syscall goes on, or fails with `EPERM`.
pub(crate) const GO_ON: i32 = 1;
pub(crate) const REFUSE: i32 = 0;

pub(crate) const SOCK_STREAM: u16 = 1;
pub(crate) const SOCK_DGRAM: u16 = 2;
const PORT_DNS: u16 = 53;
const SOL_SOCKET: i32 = 1;
const SO_BINDTOIFINDEX: i32 = 62;

/// `cgroup/connect4` and `cgroup/connect6`.
#[inline(always)]
pub(crate) fn connect(ctx: &SockAddrContext, family: Family) -> i32 {
    let settings = task::settings();
    let standing = task::standing(settings);
    if !standing.is_guarded() {
        return watch::connect(ctx, family, settings, &standing);
    }
    let task = standing.task();
    let attempt = address::attempt(ctx, family);
    let verdict = decide(ctx, family, settings, &task, &attempt);
    match verdict {
        Ok(()) => GO_ON,
        Err(refusal) => {
            event::refused(Hook::Connect, refusal, &task, &attempt);
            REFUSE
        }
    }
}

#[inline(always)]
fn decide(
    ctx: &SockAddrContext,
    family: Family,
    settings: &Settings,
    task: &Task,
    attempt: &Attempt,
) -> Result<(), Refusal> {
    match (attempt.socket_type, attempt.protocol) {
        (SOCK_STREAM, PROTOCOL_TCP) => {
            unbind_device(ctx)?;
            if task.session != NO_SESSION
                && let Some(listener) = local::own_listener(ctx, task, attempt)
            {
                maps::forget(address::socket(ctx));
                address::rewrite(ctx, family, &listener, attempt.port);
                return Ok(());
            }
            redirect(ctx, family, settings, task, attempt)
        }
        (SOCK_DGRAM, PROTOCOL_UDP) => match redirect(ctx, family, settings, task, attempt) {
            Err(Refusal::Datagram) if is_made_guarded(ctx) => silence(ctx, settings, task, attempt),
            other => other,
        },
        _ => Err(Refusal::SocketKind),
    }
}

/// Remembers where the flow wanted to go and points it at the proxy; a datagram for a name server goes to
/// the resolver, and any other nowhere.
#[inline(always)]
pub(crate) fn redirect(
    ctx: &SockAddrContext,
    family: Family,
    settings: &Settings,
    task: &Task,
    attempt: &Attempt,
) -> Result<(), Refusal> {
    let port = remember(ctx, settings, task, attempt)?;
    if port != 0 {
        address::rewrite(ctx, family, &address::loopback_for(&attempt.address), port);
    }
    Ok(())
}

/// At which port of ours the flow is to arrive; zero where it is on its way there already. Apart, because an origin
/// takes a quarter of the stack.
#[inline(never)]
fn remember(
    ctx: &SockAddrContext,
    settings: &Settings,
    task: &Task,
    attempt: &Attempt,
) -> Result<u16, Refusal> {
    if task.session == NO_SESSION {
        return Err(Refusal::NoLabel);
    }
    // SAFETY: the context is the one the kernel passed in.
    let netns = unsafe { bpf_get_netns_cookie(ctx.sock_addr.cast()) };
    let door = task::door(netns);
    let is_own = door.is_some_and(|door| is_own_port(&door, attempt));
    if attempt.protocol == PROTOCOL_UDP && attempt.port != PORT_DNS && !is_own {
        return Err(Refusal::Datagram);
    }
    let Some(door) = door else {
        return Err(Refusal::Namespace);
    };
    let socket = address::socket(ctx);
    if is_own {
        return arrived_already(socket, attempt).map(|()| 0);
    }
    if !keep(ctx, settings, task, attempt, netns) {
        return Err(Refusal::NotReady);
    }
    match attempt.protocol {
        PROTOCOL_TCP => Ok(door.proxy_port),
        _ => {
            let index = datagram::server_index(socket, attempt).ok_or(Refusal::NotReady)?;
            Ok(door.resolver_port + index)
        }
    }
}

/// Lets a datagram socket connect and remembers on it who did so: by that, `egress.rs` drops what it sends. Apart
/// for the same reason as `remember`.
///
/// SECURITY: not to a group. The kernel delivers what is sent there to listeners of this host by a copy that belongs
/// to no socket, so no hook would see it. The same is true of a broadcast, for which a guarded socket never has the
/// permission (`option.rs`): the kernel itself refuses that connect.
#[inline(never)]
pub(crate) fn silence(
    ctx: &SockAddrContext,
    settings: &Settings,
    task: &Task,
    attempt: &Attempt,
) -> Result<(), Refusal> {
    if address::is_group(&attempt.address) {
        return Err(Refusal::Datagram);
    }
    // SAFETY: the context is the one the kernel passed in.
    let netns = unsafe { bpf_get_netns_cookie(ctx.sock_addr.cast()) };
    if keep(ctx, settings, task, attempt, netns) { Ok(()) } else { Err(Refusal::NotReady) }
}

/// Whether a guarded task made the socket. What somebody else did to another one before is not known: it may have
/// a route of its own, or permission to broadcast.
#[inline(always)]
fn is_made_guarded(ctx: &SockAddrContext) -> bool {
    maps::socket_label(address::socket(ctx)).is_some()
}

/// Puts the origin on the socket; false when there is no memory for it.
#[inline(always)]
fn keep(
    ctx: &SockAddrContext,
    settings: &Settings,
    task: &Task,
    attempt: &Attempt,
    netns: u64,
) -> bool {
    let mut origin = Origin {
        session: task.session,
        // SAFETY: the context is the one the kernel passed in.
        cookie: unsafe { bpf_get_socket_cookie(ctx.sock_addr.cast()) },
        netns,
        started: task::started(settings),
        // SAFETY: the helper takes nothing and returns a number.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        exe: task::own_exe(settings),
        address: attempt.address,
        tgid: task.tgid,
        uid: task.uid,
        ancestors: [0; ANCESTORS],
        port: attempt.port,
        protocol: attempt.protocol,
        capture: task.capture,
        comm: task.comm,
    };
    // In place: 6.1 counts the stack of all calls together, and there is no room for a copy.
    task::ancestors(settings, &mut origin.ancestors);
    maps::remember(address::socket(ctx), &mut origin)
}

/// While one generation of programs replaces another, both may see one connect: the second finds our own
/// port as destination and the origin on the socket, and leaves both. A task that names our port itself
/// has no origin on its socket, or goes again where that socket went before. A datagram socket that was connected
/// past the resolver did not come by it.
#[inline(always)]
fn arrived_already(socket: *mut c_void, attempt: &Attempt) -> Result<(), Refusal> {
    match maps::socket_origin(socket) {
        Some(origin)
            if origin.protocol == attempt.protocol
                && (origin.protocol == PROTOCOL_TCP || origin.port == PORT_DNS) =>
        {
            Ok(())
        }
        _ => Err(Refusal::OwnPort),
    }
}

#[inline(always)]
pub(crate) fn is_own_port(door: &Door, attempt: &Attempt) -> bool {
    door.has_port(attempt.port) && address::is_loopback(&attempt.address)
}

/// SECURITY: a device wins against the rewritten address: the SYN for 127.0.0.1 would leave by it. A guarded task
/// cannot bind one, but may have done so before it was guarded, or got the socket from somebody who has.
#[inline(always)]
pub(crate) fn unbind_device(ctx: &SockAddrContext) -> Result<(), Refusal> {
    let mut none = 0_i32;
    let value: *mut c_void = ptr::from_mut(&mut none).cast();
    // SAFETY: the context is the one the kernel passed in; the value outlives the call.
    let failed =
        unsafe { bpf_setsockopt(ctx.sock_addr.cast(), SOL_SOCKET, SO_BINDTOIFINDEX, value, 4) };
    if failed == 0 { Ok(()) } else { Err(Refusal::Device) }
}
