// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Helpers behind Unix sockets: whoever answers there and is not guarded can reach the outside for a guarded task.
//!
//! A guarded task reaches the sockets of its own session, and of the others only those whose path the daemon
//! allows. Who owns a socket is known by its label, which was given when it was made.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::programs::LsmContext;
use enforcer_common::{Hook, Refusal, UNIX_PATH_BYTES};

use super::{GO_ON, guarded, hardening, is_own, refuse, sock_of};
use crate::event::Attempt;
use crate::maps::{self, UNIX_ALLOWED};
use crate::task::{self, Task};

const AF_UNIX: u16 = 1;

/// `unix_stream_connect(sock, other, newsk)`.
#[inline(always)]
pub(crate) fn connect(ctx: &LsmContext) -> i32 {
    let Some(task) = guarded() else { return GO_ON };
    judge(Hook::UnixConnect, ctx.arg(1), &task)
}

/// `unix_may_send(sock, other)`.
#[inline(always)]
pub(crate) fn send(ctx: &LsmContext) -> i32 {
    let Some(task) = guarded() else { return GO_ON };
    judge(Hook::UnixSend, sock_of(ctx.arg(1)), &task)
}

#[inline(always)]
fn judge(hook: Hook, other: *mut c_void, task: &Task) -> i32 {
    if other.is_null() || is_own(other, task) || is_allowed(other) {
        return GO_ON;
    }
    refuse(hook, Refusal::Helper, task, &Attempt { family: AF_UNIX, ..Attempt::default() })
}

/// Whether a socket that nobody guarded made is bound to an allowed path. A guarded process of another session
/// may have bound that path, too.
#[inline(always)]
fn is_allowed(other: *mut c_void) -> bool {
    if maps::socket_label(other).is_some() {
        return false;
    }
    let hardening = hardening();
    let bound: u64 = task::read(other as u64, hardening.unix_address);
    if bound == 0 {
        return false;
    }
    let mut path = [0_u8; UNIX_PATH_BYTES];
    let from = bound.wrapping_add(u64::from(hardening.address_path)) as *const c_void;
    // SAFETY: the helper checks the address by itself, and writes at most the given number of bytes. An abstract
    // name starts with a zero byte and is read as empty, which is never allowed.
    unsafe { bpf_probe_read_kernel_str(path.as_mut_ptr().cast(), UNIX_PATH_BYTES as u32, from) };
    // SAFETY: only whether there is an element is asked.
    unsafe { UNIX_ALLOWED.get(&path) }.is_some()
}
