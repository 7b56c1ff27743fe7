// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `connect()` of a guarded task: TCP goes to the proxy, DNS to the resolver, the rest nowhere.
//!
//! Decides on the current task, not on the socket, so that a socket made elsewhere is caught too.
//! Errs closed: without settings, without memory for the origin, or outside the namespace in which
//! the proxy listens, the connect is refused. A rewritten address alone does not bind the packet to
//! the loopback device; `egress.rs` does.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_setsockopt};
use aya_ebpf::programs::SockAddrContext;
use enforcer_common::{Hook, Origin, PROTOCOL_TCP, PROTOCOL_UDP, Refusal, Settings};

use crate::address::{self, Family};
use crate::event::{self, Attempt};
use crate::maps;
use crate::task::{self, Task};

/// Verdicts of the `sock_addr` hooks: the syscall goes on, or fails with `EPERM`.
pub(crate) const GO_ON: i32 = 1;
pub(crate) const REFUSE: i32 = 0;

const SOCK_STREAM: u16 = 1;
const SOCK_DGRAM: u16 = 2;
const PORT_DNS: u16 = 53;
const SOL_SOCKET: i32 = 1;
const SO_BINDTOIFINDEX: i32 = 62;

/// `cgroup/connect4` and `cgroup/connect6`.
#[inline(always)]
pub(crate) fn connect(ctx: &SockAddrContext, family: Family) -> i32 {
    let settings = task::settings();
    let Some(task) = task::current(&settings) else {
        return GO_ON;
    };
    let attempt = address::attempt(ctx, family);
    let verdict = decide(ctx, family, &settings, &task, &attempt);
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
            redirect(ctx, family, settings, task, attempt, settings.proxy_port)
        }
        (SOCK_DGRAM, PROTOCOL_UDP) => datagram(ctx, family, settings, task, attempt),
        _ => Err(Refusal::SocketKind),
    }
}

/// Sends a datagram to the resolver when it is for a name server, and refuses it otherwise.
#[inline(always)]
pub(crate) fn datagram(
    ctx: &SockAddrContext,
    family: Family,
    settings: &Settings,
    task: &Task,
    attempt: &Attempt,
) -> Result<(), Refusal> {
    let is_own = is_own_port(settings, attempt);
    if attempt.protocol != PROTOCOL_UDP || (attempt.port != PORT_DNS && !is_own) {
        return Err(Refusal::Datagram);
    }
    redirect(ctx, family, settings, task, attempt, settings.resolver_port)
}

/// Remembers where the flow wanted to go and points it at `port` on loopback.
#[inline(always)]
fn redirect(
    ctx: &SockAddrContext,
    family: Family,
    settings: &Settings,
    task: &Task,
    attempt: &Attempt,
    port: u16,
) -> Result<(), Refusal> {
    if port == 0 || settings.netns_cookie == 0 {
        return Err(Refusal::NotReady);
    }
    // SAFETY: the context is the one the kernel passed in.
    if unsafe { bpf_get_netns_cookie(ctx.sock_addr.cast()) } != settings.netns_cookie {
        return Err(Refusal::Namespace);
    }
    let socket = address::socket(ctx);
    if is_own_port(settings, attempt) {
        return arrived_already(socket, attempt);
    }
    let mut origin = Origin {
        session: task.session,
        // SAFETY: the context is the one the kernel passed in.
        cookie: unsafe { bpf_get_socket_cookie(ctx.sock_addr.cast()) },
        address: attempt.address,
        tgid: task.tgid,
        uid: task.uid,
        port: attempt.port,
        protocol: attempt.protocol,
        padding: 0,
        comm: task.comm,
    };
    if !maps::remember(socket, &mut origin) {
        return Err(Refusal::NotReady);
    }
    address::rewrite(ctx, family, &address::loopback_for(&attempt.address), port);
    Ok(())
}

/// While one generation of programs replaces another, both may see one connect: the second finds our own
/// port as destination and the origin on the socket, and leaves both. A task that names our port itself
/// has no origin on its socket, or goes again where that socket went before.
#[inline(always)]
fn arrived_already(socket: *mut c_void, attempt: &Attempt) -> Result<(), Refusal> {
    match maps::socket_origin(socket) {
        Some(origin) if origin.protocol == attempt.protocol => Ok(()),
        _ => Err(Refusal::OwnPort),
    }
}

#[inline(always)]
fn is_own_port(settings: &Settings, attempt: &Attempt) -> bool {
    let is_port = attempt.port == settings.proxy_port || attempt.port == settings.resolver_port;
    is_port && address::is_loopback(&attempt.address)
}

/// SECURITY: a device chosen with `SO_BINDTODEVICE` wins against the rewritten address: the SYN for
/// 127.0.0.1 would leave by that device.
#[inline(always)]
fn unbind_device(ctx: &SockAddrContext) -> Result<(), Refusal> {
    let mut none = 0_i32;
    let value: *mut c_void = ptr::from_mut(&mut none).cast();
    // SAFETY: the context is the one the kernel passed in; the value outlives the call.
    let failed =
        unsafe { bpf_setsockopt(ctx.sock_addr.cast(), SOL_SOCKET, SO_BINDTOIFINDEX, value, 4) };
    if failed == 0 { Ok(()) } else { Err(Refusal::Device) }
}
