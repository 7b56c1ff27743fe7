// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which sockets a guarded task may make: TCP and UDP, by allow-list.
//!
//! SCTP, UDP-Lite, ping, L2TP and raw sockets have paths to the wire on which no connect or sendmsg hook
//! runs, and MPTCP makes its subflows in the kernel. The errno is the one on which applications fall back
//! to TCP.

use core::ptr;

use aya_ebpf::helpers::generated::{bpf_get_netns_cookie, bpf_set_retval};
use aya_ebpf::programs::SockContext;
use enforcer_common::{Hook, PROTOCOL_TCP, PROTOCOL_UDP, Refusal, SocketLabel};

use crate::event::{self, Attempt};
use crate::maps;
use crate::task::{self, Task};

const GO_ON: i32 = 1;
const REFUSE: i32 = 0;
const SOCK_STREAM: u16 = 1;
const SOCK_DGRAM: u16 = 2;
const EPROTONOSUPPORT: i32 = 93;
const ENOBUFS: i32 = 105;

/// `cgroup/sock_create`.
#[inline(always)]
pub(crate) fn create(ctx: &SockContext) -> i32 {
    let Some(task) = task::current(task::settings()) else {
        return GO_ON;
    };
    let raw = ctx.sock;
    // SAFETY: the hook may read these fields.
    let (family, socket_type, protocol) = unsafe {
        (
            ptr::read_volatile(&raw const (*raw).family),
            ptr::read_volatile(&raw const (*raw).type_),
            ptr::read_volatile(&raw const (*raw).protocol),
        )
    };
    let attempt = Attempt {
        family: family as u16,
        socket_type: socket_type as u16,
        protocol: protocol as u16,
        ..Attempt::default()
    };
    match (attempt.socket_type, attempt.protocol) {
        (SOCK_STREAM, 0 | PROTOCOL_TCP) | (SOCK_DGRAM, 0 | PROTOCOL_UDP) => {
            label(ctx, &task, &attempt)
        }
        _ => refuse(&task, &attempt, Refusal::SocketKind, -EPROTONOSUPPORT),
    }
}

/// Says on the socket who made it: its packets have no current task.
#[inline(always)]
fn label(ctx: &SockContext, task: &Task, attempt: &Attempt) -> i32 {
    let Task { session, tgid, uid, comm, .. } = *task;
    let mut label = SocketLabel { session, tgid, uid, comm };
    if !maps::label_socket(ctx.sock.cast(), &mut label) {
        return refuse(task, attempt, Refusal::NotReady, -ENOBUFS);
    }
    // Early, so that there is a door by the time the socket connects.
    // SAFETY: the context is the one the kernel passed in.
    if task::door(unsafe { bpf_get_netns_cookie(ctx.sock.cast()) }).is_none() {
        event::wanted(task, attempt);
    }
    GO_ON
}

#[inline(always)]
fn refuse(task: &Task, attempt: &Attempt, refusal: Refusal, errno: i32) -> i32 {
    event::refused(Hook::SockCreate, refusal, task, attempt);
    // SAFETY: the helper takes a number; the verdict alone would mean `EPERM`.
    unsafe { bpf_set_retval(errno) };
    REFUSE
}
