// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Who is asking: the label of the current task, by the cgroup that `enforcer run` put it in.
//!
//! A task outside every session cgroup leaves at the first miss. What cannot be found out about a
//! guarded task is left zero; it never makes the task unguarded.

use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_skb_ancestor_cgroup_id,
};
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use aya_ebpf::programs::SkBuffContext;
use enforcer_common::Settings;

use crate::maps::{GUARDED, SETTINGS};

/// A guarded task, as far as the hook can see it.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub(crate) session: u64,
    pub(crate) tgid: u32,
    pub(crate) uid: u32,
    pub(crate) comm: [u8; 16],
}

/// A copy of the settings. The one element of the array always exists, so the default is never used.
#[inline(always)]
pub(crate) fn settings() -> Settings {
    SETTINGS.get(0).copied().unwrap_or_default()
}

/// The current task when it is guarded.
#[inline(always)]
pub(crate) fn current(settings: &Settings) -> Option<Task> {
    // SAFETY: the helper takes a number and returns one.
    let cgroup = unsafe { bpf_get_current_ancestor_cgroup_id(settings.session_level as i32) };
    let session = session_of(cgroup)?;
    Some(Task {
        session,
        tgid: (bpf_get_current_pid_tgid() >> 32) as u32,
        uid: bpf_get_current_uid_gid() as u32,
        comm: bpf_get_current_comm().unwrap_or_default(),
    })
}

/// The session whose cgroup the socket of a packet was made in.
#[inline(always)]
pub(crate) fn session_of_packet(ctx: &SkBuffContext, settings: &Settings) -> Option<u64> {
    // SAFETY: the context is the one the kernel passed in.
    let cgroup = unsafe { bpf_skb_ancestor_cgroup_id(ctx.skb.skb, settings.session_level as i32) };
    session_of(cgroup)
}

#[inline(always)]
fn session_of(cgroup: u64) -> Option<u64> {
    // SAFETY: a label is written once, before the first task enters its cgroup, and is removed after
    // the last one left: a torn read could only be of a cgroup that has no task.
    unsafe { GUARDED.get(cgroup) }.map(|label| label.session)
}
