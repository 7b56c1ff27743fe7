// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Labels follow processes: given to a child before it runs, kept until the last thread is gone.
//!
//! Errs towards guarding: a child whose label finds no room keeps its mark, which cannot fail, and is
//! refused everything. The memory that task storage would use is refused to these programs on 6.12, hence
//! maps keyed by process id; a mark that a dead process left is taken away when its id is given anew.

use aya_ebpf::programs::BtfTracePointContext;
use enforcer_common::{Hook, NO_SESSION, ProcessLabel, capture};

use crate::event;
use crate::maps::PROCESSES;
use crate::select;
use crate::task::{self, Task};

/// `sched_process_fork(parent, child)`: the child does not run yet.
#[inline(always)]
pub(crate) fn fork(ctx: &BtfTracePointContext) {
    let settings = task::settings();
    let child = ctx.arg::<*const u8>(1) as u64;
    let tgid: u32 = task::read(child, settings.task_tgid);
    let pid: u32 = task::read(child, settings.task_pid);
    if tgid != pid {
        // A thread: its process has the label.
        return;
    }
    let parent = task::standing(settings);
    if parent.capture == task::NOBODYS {
        forget(tgid);
    } else {
        label(&parent.task(), tgid);
    }
}

/// `sched_process_exec`: before the first instruction of the new program. What a selector describes becomes
/// an agent; what is guarded by its cgroup alone is labeled as well, so that it stays guarded wherever it is
/// moved. A label that is there already decides, whatever the new program is, but for one that a connection to an
/// endpoint alone has brought.
#[inline(always)]
pub(crate) fn exec() {
    let settings = task::settings();
    let tgid = task::current_tgid();
    if !matches!(task::labeled(tgid).capture, task::NOBODYS | capture::ANY) {
        return;
    }
    match task::current(settings) {
        Some(task) => {
            label(&task, tgid);
        }
        None => select::start(settings, tgid),
    }
}

/// `sched_process_exit(task)`: runs for each thread, after it was counted out.
#[inline(always)]
pub(crate) fn exit(ctx: &BtfTracePointContext) {
    let tgid = task::current_tgid();
    if task::labeled(tgid).capture == task::NOBODYS {
        return;
    }
    let settings = task::settings();
    let signal: u64 = task::read(ctx.arg::<*const u8>(0) as u64, settings.task_signal);
    let live: i32 = task::read(signal, settings.signal_live);
    if signal != 0 && live == 0 {
        forget(tgid);
    }
}

/// Labels a process; false when there was no room, so that it has only a mark.
#[inline(always)]
pub(crate) fn label(from: &Task, tgid: u32) -> bool {
    // What is not guarded needs no mark: without a label it is as before.
    task::mark(tgid, from.capture == capture::ALL);
    let label = ProcessLabel { session: from.session, capture: from.capture, padding: 0 };
    let is_full = PROCESSES.insert(tgid, label, 0).is_err();
    if is_full || from.session == NO_SESSION {
        event::no_room(Hook::Fork, from);
    }
    !is_full
}

#[inline(always)]
pub(crate) fn forget(tgid: u32) {
    task::mark(tgid, false);
    // Most processes have none.
    let _ = PROCESSES.remove(tgid);
}
