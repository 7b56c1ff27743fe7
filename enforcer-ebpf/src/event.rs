// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Tells the daemon what was refused. A full ring is counted and never changes a verdict.

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_log_ebpf::debug;
use enforcer_common::{Event, Hook, NOTHING_REFUSED, Refusal};

use crate::maps::{EVENTS, EVENTS_LOST};
use crate::task::Task;

/// What was attempted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Attempt {
    pub(crate) address: [u8; 16],
    pub(crate) port: u16,
    pub(crate) family: u16,
    pub(crate) socket_type: u16,
    pub(crate) protocol: u16,
    pub(crate) option_level: u16,
    pub(crate) option_name: u16,
}

/// Asks the daemon for a door in the network namespace of a task.
#[inline(never)]
pub(crate) fn wanted(task: &Task, attempt: &Attempt) {
    tell(Hook::SockCreate as u32, NOTHING_REFUSED, task, attempt);
}

/// Puts the refusal of an attempt on the ring and writes a line to the log.
#[inline(never)]
pub(crate) fn refused(hook: Hook, refusal: Refusal, task: &Task, attempt: &Attempt) {
    debug!(
        (),
        "refused: hook {}, reason {}, pid {}, protocol {}, port {}",
        hook as u32,
        refusal as u32,
        task.tgid,
        attempt.protocol,
        attempt.port
    );
    tell(hook as u32, refusal as u32, task, attempt);
}

/// A process has no room to be an agent in.
#[inline(never)]
pub(crate) fn no_room(hook: Hook, task: &Task) {
    refused(hook, Refusal::NoLabel, task, &Attempt::default());
}

/// Tells the daemon that a process became an agent. A ring without room tells it later: it looks for
/// sessions by itself, too.
#[inline(never)]
pub(crate) fn started(task: &Task) {
    tell(Hook::Exec as u32, NOTHING_REFUSED, task, &Attempt::default());
}

#[inline(always)]
fn tell(hook: u32, refusal: u32, task: &Task, attempt: &Attempt) {
    let Some(mut entry) = EVENTS.reserve(0) else {
        if let Some(lost) = EVENTS_LOST.get_ptr_mut(0) {
            // SAFETY: the slot belongs to this CPU and the program is not preempted by itself.
            unsafe { *lost += 1 };
        }
        return;
    };
    entry.write(Event {
        // SAFETY: the helper takes nothing and returns a number.
        at_boot_ns: unsafe { bpf_ktime_get_boot_ns() },
        session: task.session,
        hook,
        refusal,
        tgid: task.tgid,
        uid: task.uid,
        address: attempt.address,
        port: attempt.port,
        family: attempt.family,
        socket_type: attempt.socket_type,
        protocol: attempt.protocol,
        option_level: attempt.option_level,
        option_name: attempt.option_name,
        padding: 0,
        comm: task.comm,
    });
    entry.submit(0);
}
