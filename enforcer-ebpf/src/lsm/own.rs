// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What keeps the programs in force: nobody guarded calls bpf(2), or ends the daemon.

use aya_ebpf::programs::LsmContext;
use enforcer_common::{Hook, Refusal};

use super::{EPERM, GO_ON, address, guarded, hardening, refuse};
use crate::event::Attempt;
use crate::maps::LSM_CALLS;
use crate::task;

/// `bpf(cmd, attr, size)`: a link can be detached and a map changed by its id alone. Calls of the daemon are
/// counted: by that it knows that the kernel calls these hooks at all.
#[inline(always)]
pub(crate) fn bpf() -> i32 {
    if task::current_tgid() == hardening().daemon {
        if let Some(calls) = LSM_CALLS.get_ptr_mut(0) {
            // SAFETY: the element is in the map's memory. A count that is lost to another CPU does not matter.
            unsafe { *calls += 1 };
        }
        return GO_ON;
    }
    match guarded() {
        Some(task) => refuse(Hook::Bpf, Refusal::Programs, &task, &Attempt::default()),
        None => GO_ON,
    }
}

/// `task_kill(task, info, sig, cred)`. Signal zero only asks whether there is such a process.
#[inline(always)]
pub(crate) fn kill(ctx: &LsmContext) -> i32 {
    let signal: i32 = ctx.arg(2);
    if signal == 0 {
        return GO_ON;
    }
    let Some(task) = guarded() else { return GO_ON };
    if !is_daemon(ctx) {
        return GO_ON;
    }
    refuse(Hook::Kill, Refusal::Daemon, &task, &Attempt::default())
}

/// `file_send_sigiotask(task, owner, sig)`: whoever may set the owner of a descriptor chooses who gets which signal
/// when it becomes ready, and `task_kill` is not asked. The daemon wants no such signal from anybody.
#[inline(always)]
pub(crate) fn send_signal_of_file(ctx: &LsmContext) -> i32 {
    if !is_daemon(ctx) {
        return GO_ON;
    }
    match guarded() {
        Some(task) => refuse(Hook::Kill, Refusal::Daemon, &task, &Attempt::default()),
        None => -EPERM,
    }
}

/// `task_setrlimit(task, resource, limit)`: a process that has used up its processor time is killed.
#[inline(always)]
pub(crate) fn set_limit(ctx: &LsmContext) -> i32 {
    if !is_daemon(ctx) {
        return GO_ON;
    }
    match guarded() {
        Some(task) => refuse(Hook::Kill, Refusal::Daemon, &task, &Attempt::default()),
        None => GO_ON,
    }
}

/// Whether the first argument is a task of the daemon.
#[inline(always)]
fn is_daemon(ctx: &LsmContext) -> bool {
    let target: u32 = task::read(address(ctx, 0), task::settings().task_tgid);
    target == hardening().daemon
}
