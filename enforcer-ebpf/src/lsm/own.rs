// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! What keeps the programs in force: nobody guarded calls bpf(2), or kills the daemon.

use aya_ebpf::programs::LsmContext;
use enforcer_common::{Hook, Refusal};

use super::{GO_ON, address, guarded, hardening, refuse};
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
    let target: u32 = task::read(address(ctx, 0), task::settings().task_tgid);
    if target != hardening().daemon {
        return GO_ON;
    }
    refuse(Hook::Kill, Refusal::Daemon, &task, &Attempt::default())
}
