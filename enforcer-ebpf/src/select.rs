// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Which processes become an agent by themselves: decided when a program starts, before its first
//! instruction, by what the daemon made of the bundle's selectors.
//!
//! A match only begins a session. From then on the label of the process decides (`process.rs`), whatever the
//! process and its descendants become. What is not below the cgroup of the programs is left alone: it could
//! not be guarded. What cannot be read of a task is zero and matches no selector.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::bpf_get_current_uid_gid;
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_get_current_task,
    bpf_get_prandom_u32, bpf_ktime_get_boot_ns, bpf_probe_read_kernel_str,
};
use aya_ebpf::programs::BtfTracePointContext;
use enforcer_common::{
    AGENT_NAME_BYTES, CGROUP_NAME_BYTES, CgroupName, FileId, Hook, Label, NO_SESSION, PLACE_LEVELS,
    ProcessLabel, SESSION_DEPTH_BELOW_ATTACH, Selector, SessionStart, Settings, capacity, capture,
    key,
};

use crate::event;
use crate::maps::{CGROUPS, PLACES, PROCESSES, SELECTION, SELECTORS, SESSIONS};
use crate::process;
use crate::task::{self, Standing, Task};

const NANOSECONDS_IN_MILLISECOND: u64 = 1_000_000;
/// Random bits at the end of a session id; before them stands the time in milliseconds.
const RANDOM_BITS: u32 = 20;

/// What selectors may ask of a process.
struct Process {
    exe: FileId,
    parent: FileId,
    uid: u32,
    gid: u32,
    places: u64,
}

/// Begins a session if a selector describes the current process.
#[inline(always)]
pub(crate) fn start(settings: &Settings, tgid: u32) {
    let attached = settings.session_level - SESSION_DEPTH_BELOW_ATTACH;
    // SAFETY: the helper takes a number and returns one.
    let below = unsafe { bpf_get_current_ancestor_cgroup_id(attached as i32) };
    if below != settings.attach_cgroup {
        return;
    }
    let Some(half) = SELECTION.get(0).copied() else {
        return;
    };
    // SAFETY: the helper returns the address of the current task.
    let task = unsafe { bpf_get_current_task() };
    let leader: u64 = task::read(task, settings.task_group_leader);
    let parent: u64 = task::read(leader, settings.task_real_parent);
    let ids = bpf_get_current_uid_gid();
    let process = Process {
        exe: task::exe(settings, task),
        parent: task::exe(settings, parent),
        uid: ids as u32,
        gid: (ids >> 32) as u32,
        places: places(),
    };
    if let Some(selector) = find(half, &process) {
        let standing = Standing { session: NO_SESSION, tgid, capture: selector.capture };
        begin(settings, &selector.agent, &mut standing.task());
    }
}

#[inline(always)]
fn find(half: u32, process: &Process) -> Option<&'static Selector> {
    let first = (half & 1) * capacity::SELECTORS;
    for index in 0..capacity::SELECTORS {
        let selector = SELECTORS.get(first + index)?;
        if selector.keys == 0 {
            return None;
        }
        if describes(selector, process) {
            return Some(selector);
        }
    }
    None
}

#[inline(always)]
fn describes(selector: &Selector, process: &Process) -> bool {
    let asks = |bit: u32| selector.keys & bit != 0;
    let is_file = |wanted: &FileId, found: &FileId| {
        wanted.inode == found.inode && wanted.device == found.device && found.inode != 0
    };
    (!asks(key::EXE) || is_file(&selector.exe, &process.exe))
        && (!asks(key::PARENT) || is_file(&selector.parent, &process.parent))
        && (!asks(key::UID) || selector.uid == process.uid)
        && (!asks(key::GID) || selector.gid == process.gid)
        && (!asks(key::PLACES) || selector.places & process.places == selector.places)
}

/// Begins a session of the current process, which `task` is; its id goes in there, or [`NO_SESSION`] when there is no
/// room for it. The process is labeled before the session is known: a daemon that looks in between must not
/// take the session for deserted.
#[inline(never)]
pub(crate) fn begin(settings: &Settings, agent: &[u8; AGENT_NAME_BYTES], task: &mut Task) {
    task.session = new_session(settings);
    if task.capture == capture::ANY {
        // Another thread of the process may be connecting at the same time.
        let label = ProcessLabel { session: task.session, capture: task.capture, padding: 0 };
        if PROCESSES.insert(&task.tgid, &label, u64::from(BPF_NOEXIST)).is_err() {
            task.session = task::labeled(task.tgid).session;
            return;
        }
    } else if !process::label(task, task.tgid) {
        return;
    }
    if keep(settings, agent, task) {
        event::started(task);
        return;
    }
    event::no_room(Hook::Exec, task);
    task.session = NO_SESSION;
    if task.capture == capture::ALL {
        // Its name could not be kept: it is nobody, and refused everything.
        let nobody = ProcessLabel { session: NO_SESSION, capture: capture::ALL, padding: 0 };
        let _ = PROCESSES.insert(&task.tgid, &nobody, 0);
    } else {
        process::forget(task.tgid);
    }
}

/// Keeps how a session began; false when there is no room. Apart, because of the stack.
#[inline(never)]
fn keep(settings: &Settings, agent: &[u8; AGENT_NAME_BYTES], task: &Task) -> bool {
    let mut parent = [0];
    task::ancestors(settings, &mut parent);
    let start = SessionStart {
        label: Label { session: task.session, agent: *agent },
        started: task::started(settings),
        // SAFETY: the helper takes nothing and returns a number.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        exe: task::own_exe(settings),
        tgid: task.tgid,
        uid: task.uid,
        parent: parent[0],
        recorded: 0,
        comm: task.comm,
        capture: task.capture,
        padding: 0,
    };
    SESSIONS.insert(&task.session, &start, u64::from(BPF_NOEXIST)).is_ok()
}

/// An id in the daemon's layout (`enforcer_core::model::SessionId`).
#[inline(always)]
fn new_session(settings: &Settings) -> u64 {
    // SAFETY: the helpers take nothing and return a number.
    let (now, random) = unsafe { (bpf_ktime_get_boot_ns(), bpf_get_prandom_u32()) };
    let unix_ms = settings.booted_unix_ms + now / NANOSECONDS_IN_MILLISECOND;
    unix_ms << RANDOM_BITS | u64::from(random & ((1 << RANDOM_BITS) - 1))
}

/// Every place that the current process is in: its cgroup and those above.
#[inline(always)]
fn places() -> u64 {
    let mut bits = 0;
    for level in 1..=PLACE_LEVELS {
        // SAFETY: the helper takes a number and returns one.
        let cgroup = unsafe { bpf_get_current_ancestor_cgroup_id(level as i32) };
        if cgroup == 0 {
            break;
        }
        // SAFETY: the value is one word, so a read cannot be torn.
        bits |= unsafe { CGROUPS.get(cgroup) }.copied().unwrap_or_default();
    }
    bits
}

/// `cgroup_mkdir(cgroup, path)`: the cgroup cannot be entered yet. One that finds no room is found by the
/// daemon's next look.
#[inline(always)]
pub(crate) fn mkdir(ctx: &BtfTracePointContext) {
    let settings = task::settings();
    let cgroup = ctx.arg::<*const u8>(0) as u64;
    let root: u64 = task::read(cgroup, settings.cgroup_root);
    let hierarchy: i32 = task::read(root, settings.root_hierarchy);
    let node: u64 = task::read(cgroup, settings.cgroup_node);
    let id: u64 = task::read(node, settings.node_id);
    // Hierarchy 0 is cgroup v2; ids of the others are numbers of their own.
    if hierarchy != 0 || root == 0 || id == 0 {
        return;
    }
    let name = task::read(node, settings.node_name);
    let bits = place(name) | container(name) | place(ctx.arg::<*const u8>(1) as u64);
    if bits != 0 {
        let _ = CGROUPS.insert(id, bits, 0);
    }
}

/// Bits of the place that a name or path in the kernel's memory is.
#[inline(always)]
fn place(text: u64) -> u64 {
    let mut name = CgroupName { bytes: [0; CGROUP_NAME_BYTES] };
    let to: *mut c_void = name.bytes.as_mut_ptr().cast();
    // SAFETY: the helper checks the address by itself, and writes at most so many bytes with a zero at the end.
    unsafe { bpf_probe_read_kernel_str(to, CGROUP_NAME_BYTES as u32, text as *const c_void) };
    // SAFETY: the value is one word, so a read cannot be torn.
    unsafe { PLACES.get(name) }.copied().unwrap_or_default()
}

/// Digits of a container's id, and of its short form.
const ID_DIGITS: usize = 64;
const SHORT_ID_DIGITS: usize = 12;
/// Bytes of an id with a zero byte at its end, and with `.scope` before that.
const ID_BYTES: i64 = ID_DIGITS as i64 + 1;
const SCOPE_BYTES: i64 = ID_BYTES + 6;

/// Bits of the container whose cgroup has a name, by its id (`enforcer_core::policy::container_id`).
#[inline(always)]
fn container(name: u64) -> u64 {
    let head: [u8; 16] = task::read(name, 0);
    // `docker-`, `cri-containerd-`, `crio-`, `libpod-`, or nothing.
    let before = match &head {
        [b'd', b'o', b'c', b'k', b'e', b'r', b'-', ..] => 7,
        [
            b'c',
            b'r',
            b'i',
            b'-',
            b'c',
            b'o',
            b'n',
            b't',
            b'a',
            b'i',
            b'n',
            b'e',
            b'r',
            b'd',
            b'-',
            _,
        ] => 15,
        [b'c', b'r', b'i', b'o', b'-', ..] => 5,
        [b'l', b'i', b'b', b'p', b'o', b'd', b'-', ..] => 7,
        _ => 0,
    };
    let mut id = CgroupName { bytes: [0; CGROUP_NAME_BYTES] };
    let to: *mut c_void = id.bytes.as_mut_ptr().cast();
    let from = name.wrapping_add(before) as *const c_void;
    // SAFETY: as in `place`.
    let bytes = unsafe { bpf_probe_read_kernel_str(to, SCOPE_BYTES as u32 + 1, from) };
    if bytes != ID_BYTES && bytes != SCOPE_BYTES {
        return 0;
    }
    clear(&mut id, ID_DIGITS);
    // SAFETY: the value is one word, so a read cannot be torn.
    let whole = unsafe { PLACES.get(&id) }.copied().unwrap_or_default();
    clear(&mut id, SHORT_ID_DIGITS);
    // SAFETY: as above.
    whole | unsafe { PLACES.get(&id) }.copied().unwrap_or_default()
}

/// Leaves so many bytes of what [`SCOPE_BYTES`] were written of.
#[inline(always)]
fn clear(name: &mut CgroupName, from: usize) {
    for byte in &mut name.bytes[from..SCOPE_BYTES as usize + 1] {
        *byte = 0;
    }
}
