// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Who is asking: the label of the current task.
//!
//! By its process id first, because a label is inherited by every descendant and survives whatever the task
//! does (`process.rs`); by the cgroup that `enforcer run` put it in where there is no such label yet. A task
//! with neither leaves at the third miss. Never by thread: io_uring's kernel threads are made without a
//! fork event, and share the process id. What cannot be found out about a guarded task is left zero; it
//! never makes the task unguarded.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_task, bpf_probe_read_kernel,
    bpf_skb_ancestor_cgroup_id,
};
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use aya_ebpf::programs::SkBuffContext;
use enforcer_common::{Door, FileId, NO_SESSION, Settings, capacity, capture};

use crate::maps::{DOORS, GUARDED, MARKS, PROCESSES, SETTINGS};

/// A task that is an agent's, as far as the hook can see it.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub(crate) session: u64,
    pub(crate) tgid: u32,
    pub(crate) uid: u32,
    pub(crate) comm: [u8; 16],
    /// One of [`capture`].
    pub(crate) capture: u32,
}

/// The one element of the array of settings always exists, so this is never used. Its type information holds its
/// name as it is here: a mangled one would depend on the folder of the build.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
static NO_SETTINGS: Settings = Settings::NONE;

/// The settings where they are: a copy would take a fifth of the stack. They are written before the programs are
/// attached; each member is one word.
#[inline(always)]
pub(crate) fn settings() -> &'static Settings {
    SETTINGS.get(0).unwrap_or(&NO_SETTINGS)
}

/// Where the proxy and the resolver listen in a namespace; none where they do not.
#[inline(always)]
pub(crate) fn door(netns: u64) -> Option<Door> {
    // SAFETY: a door is written once, before its namespace is served: a torn read cannot happen.
    unsafe { DOORS.get(netns) }.copied()
}

/// Whose a process is. Every part has a value in each case: of an option the verifier sees parts that nobody wrote.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) session: u64,
    pub(crate) tgid: u32,
    /// One of [`capture`], or [`NOBODYS`].
    pub(crate) capture: u32,
}

/// In place of a [`capture`]: the process is no agent's.
pub(crate) const NOBODYS: u32 = u32::MAX;

impl Standing {
    #[inline(always)]
    pub(crate) fn is_guarded(&self) -> bool {
        self.capture == capture::ALL
    }

    /// The current task as an agent's.
    #[inline(always)]
    pub(crate) fn task(&self) -> Task {
        Task {
            session: self.session,
            tgid: self.tgid,
            uid: bpf_get_current_uid_gid() as u32,
            comm: bpf_get_current_comm().unwrap_or_default(),
            capture: self.capture,
        }
    }
}

/// The current task when it is guarded.
#[inline(always)]
pub(crate) fn current(settings: &Settings) -> Option<Task> {
    let standing = standing(settings);
    if standing.is_guarded() { Some(standing.task()) } else { None }
}

/// Whose the current task is: its label decides, but for one that a connection to an endpoint alone has brought.
#[inline(always)]
pub(crate) fn standing(settings: &Settings) -> Standing {
    let tgid = current_tgid();
    let mut standing = labeled(tgid);
    if standing.capture == NOBODYS || standing.capture == capture::ANY {
        if let Some(session) = session_by_cgroup(settings) {
            standing = Standing { session, tgid, capture: capture::ALL };
        }
    }
    standing
}

#[inline(always)]
pub(crate) fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// Whose a process is by its own label; guarded, of [`NO_SESSION`], when it has only a mark.
#[inline(always)]
pub(crate) fn labeled(tgid: u32) -> Standing {
    // SAFETY: an element is replaced as a whole, and freed when no program runs any more that has seen it.
    if let Some(label) = unsafe { PROCESSES.get(tgid) } {
        return Standing { session: label.session, tgid, capture: label.capture };
    }
    let capture = if is_marked(tgid) { capture::ALL } else { NOBODYS };
    Standing { session: NO_SESSION, tgid, capture }
}

/// The session whose cgroup the current task is in.
#[inline(always)]
pub(crate) fn session_by_cgroup(settings: &Settings) -> Option<u64> {
    // SAFETY: the helper takes a number and returns one.
    let cgroup = unsafe { bpf_get_current_ancestor_cgroup_id(settings.session_level as i32) };
    session_of(cgroup)
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

/// The mark of a process: a byte of its own, so that setting one needs no atomic operation. Process ids beyond
/// the kernel's own limit do not exist.
#[inline(always)]
fn mark_of(tgid: u32) -> Option<*mut u8> {
    let page = MARKS.get_ptr_mut((tgid % capacity::PIDS) / capacity::MARKS_IN_PAGE)?;
    let place = (tgid % capacity::MARKS_IN_PAGE) as usize;
    // SAFETY: the place is inside the page.
    Some(unsafe { page.cast::<u8>().add(place) })
}

/// Says whether a process is guarded, whatever becomes of its label.
#[inline(always)]
pub(crate) fn mark(tgid: u32, is_guarded: bool) {
    if let Some(mark) = mark_of(tgid) {
        // SAFETY: the byte is in the map's memory; nothing else is changed by writing it.
        unsafe { mark.write_volatile(u8::from(is_guarded)) };
    }
}

#[inline(always)]
fn is_marked(tgid: u32) -> bool {
    // SAFETY: the byte is in the map's memory.
    mark_of(tgid).is_some_and(|mark| unsafe { mark.read_volatile() } != 0)
}

/// Writes the ids of the ancestors of the current process, the parent first; zero where the kernel does not tell.
#[inline(always)]
pub(crate) fn ancestors<const N: usize>(settings: &Settings, ancestors: &mut [u32; N]) {
    // SAFETY: the helper returns the address of the current task.
    let task = unsafe { bpf_get_current_task() };
    let mut next: u64 = read(task, settings.task_group_leader);
    for ancestor in ancestors {
        next = read(next, settings.task_real_parent);
        *ancestor = read(next, settings.task_tgid);
    }
}

/// The program of the current process; zero where the kernel does not tell.
#[inline(always)]
pub(crate) fn own_exe(settings: &Settings) -> FileId {
    // SAFETY: the helper returns the address of the current task.
    exe(settings, unsafe { bpf_get_current_task() })
}

/// When the current process started, in nanoseconds since boot.
#[inline(always)]
pub(crate) fn started(settings: &Settings) -> u64 {
    // SAFETY: the helper returns the address of the current task.
    let task = unsafe { bpf_get_current_task() };
    read(read(task, settings.task_group_leader), settings.task_start_boottime)
}

/// The program of a task.
#[inline(always)]
pub(crate) fn exe(settings: &Settings, task: u64) -> FileId {
    let memory: u64 = read(task, settings.task_mm);
    if task == 0 || memory == 0 {
        return FileId::default();
    }
    let file: u64 = read(memory, settings.mm_exe_file);
    let inode: u64 = read(file, settings.file_inode);
    let number: u64 = read(inode, settings.inode_number);
    let super_block: u64 = read(inode, settings.inode_super);
    FileId { inode: number, device: read(super_block, settings.super_device), padding: 0 }
}

/// The address of a kernel object as a number: the verifier allows no arithmetic on a typed pointer, and takes
/// what a helper has copied for a number.
#[inline(always)]
pub(crate) fn address_of(object: *mut c_void) -> u64 {
    let pointer = object;
    read(core::ptr::from_ref(&pointer) as u64, 0)
}

/// Reads a member of a kernel structure; zero where that fails.
#[inline(always)]
pub(crate) fn read<T: Copy + Default>(base: u64, offset: u32) -> T {
    let mut value = T::default();
    let to: *mut c_void = core::ptr::from_mut(&mut value).cast();
    let from = base.wrapping_add(u64::from(offset)) as *const c_void;
    // SAFETY: the helper checks the address by itself, and writes the whole value or zeros.
    unsafe { bpf_probe_read_kernel(to, size_of::<T>() as u32, from) };
    value
}
