// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Other processes: whoever may write into an unguarded one acts as that one.

use aya_ebpf::programs::LsmContext;
use enforcer_common::{Hook, NO_SESSION, Refusal};

use super::{GO_ON, address, guarded, refuse};
use crate::event::Attempt;
use crate::task;

/// `PTRACE_MODE_ATTACH` (`linux/ptrace.h`): tracing, `/proc/PID/mem`, `process_vm_writev`, `pidfd_getfd`. What only
/// reads is no way out, and every process list asks for it.
const MODE_ATTACH: u32 = 2;

/// `ptrace_access_check(child, mode)`.
#[inline(always)]
pub(crate) fn access(ctx: &LsmContext) -> i32 {
    let mode: u32 = ctx.arg(1);
    if mode & MODE_ATTACH == 0 {
        return GO_ON;
    }
    let Some(task) = guarded() else { return GO_ON };
    let settings = task::settings();
    let child: u32 = task::read(address(ctx, 0), settings.task_tgid);
    if task.session != NO_SESSION && task::labeled(child).session == task.session {
        return GO_ON;
    }
    refuse(Hook::Ptrace, Refusal::OtherProcess, &task, &Attempt::default())
}
