// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Sockets that no cgroup hook sees: other families, and those that somebody else made.
//!
//! A guarded task that may use an internet socket of an unguarded one is outside: that socket is connected
//! already, and no connect hook runs for it again. Received ones are refused as they arrive, because splicing
//! into one calls no send hook on 6.1; those that came in another way (inherited) are refused as they send.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_sock_from_file;
use aya_ebpf::programs::LsmContext;
use enforcer_common::{Hook, NO_SESSION, PROTOCOL_TCP, Refusal, SocketLabel};

use super::{GO_ON, address, guarded, hardening, is_own, refuse, sock_of};
use crate::event::{self, Attempt};
use crate::maps;
use crate::task::{self, Task};

const AF_UNIX: i32 = 1;
const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;
const AF_NETLINK: i32 = 16;
const EAFNOSUPPORT: i32 = 97;
const ENOBUFS: i32 = 105;

/// `socket_create(family, type, protocol, kern)`: an allow-list. Packet, XDP and vsock sockets reach the wire or
/// the hypervisor, and many others are seldom looked at by anybody.
#[inline(always)]
pub(crate) fn create(ctx: &LsmContext) -> i32 {
    let (family, kern): (i32, i32) = (ctx.arg(0), ctx.arg(3));
    if kern != 0 || matches!(family, AF_UNIX | AF_INET | AF_INET6 | AF_NETLINK) {
        return GO_ON;
    }
    let Some(task) = guarded() else { return GO_ON };
    let (socket_type, protocol): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    let attempt = Attempt {
        family: family as u16,
        socket_type: socket_type as u16,
        protocol: protocol as u16,
        ..Attempt::default()
    };
    event::refused(Hook::SocketCreate, Refusal::Family, &task, &attempt);
    -EAFNOSUPPORT
}

/// `socket_post_create(sock, family, type, protocol, kern)`: Unix sockets are labeled here; `sock_create` does it
/// for the internet's.
#[inline(always)]
pub(crate) fn post_create(ctx: &LsmContext) -> i32 {
    let (family, kern): (i32, i32) = (ctx.arg(1), ctx.arg(4));
    if kern != 0 || family != AF_UNIX {
        return GO_ON;
    }
    let Some(task) = guarded() else { return GO_ON };
    let Task { session, tgid, uid, comm, .. } = task;
    let mut label = SocketLabel { session, tgid, uid, comm };
    if maps::label_socket(sock_of(ctx.arg(0)), &mut label) {
        return GO_ON;
    }
    let attempt = Attempt { family: family as u16, ..Attempt::default() };
    event::refused(Hook::SocketCreate, Refusal::NotReady, &task, &attempt);
    -ENOBUFS
}

/// `socket_sendmsg(sock, msg, size)`.
#[inline(always)]
pub(crate) fn send(ctx: &LsmContext) -> i32 {
    let Some(task) = guarded() else { return GO_ON };
    let file: u64 = task::read(address(ctx, 0), hardening().socket_file);
    if file == 0 {
        // The kernel's own: a file system on the network sends in the name of whoever reads a file.
        return GO_ON;
    }
    judge(Hook::SocketSend, sock_of(ctx.arg(0)), &task)
}

/// `file_receive(file)`: by `SCM_RIGHTS`, `pidfd_getfd` and the like.
#[inline(always)]
pub(crate) fn receive(ctx: &LsmContext) -> i32 {
    let Some(task) = guarded() else { return GO_ON };
    let file: *mut c_void = ctx.arg(0);
    // SAFETY: the argument is a live file; the helper returns null for one that is no socket.
    let socket = unsafe { bpf_sock_from_file(file.cast()) };
    if socket.is_null() {
        return GO_ON;
    }
    judge(Hook::FileReceive, sock_of(socket.cast()), &task)
}

/// An internet socket has to be of the session, and others have to be of a family that stays on the host.
#[inline(always)]
fn judge(hook: Hook, sock: *mut c_void, task: &Task) -> i32 {
    if sock.is_null() {
        return GO_ON;
    }
    let family: u16 = task::read(sock as u64, hardening().sock_family);
    let is_harmless = matches!(i32::from(family), AF_UNIX | AF_NETLINK);
    if is_harmless || is_own(sock, task) || is_redirected(sock, task) {
        return GO_ON;
    }
    refuse(hook, Refusal::ForeignSocket, task, &Attempt { family, ..Attempt::default() })
}

/// A process that was guarded while it ran has sockets without a label. One that it connected since then leads to
/// the proxy. TCP only: a datagram socket that somebody else connected keeps its peer whatever is redirected.
#[inline(always)]
fn is_redirected(sock: *mut c_void, task: &Task) -> bool {
    maps::socket_origin(sock).is_some_and(|origin| {
        origin.protocol == PROTOCOL_TCP
            && origin.session == task.session
            && task.session != NO_SESSION
    })
}
