// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The hardened tier: security hooks, where the kernel loads and calls them.
//!
//! They close what no cgroup hook sees: other socket families, descriptors that somebody else connected,
//! helpers behind Unix sockets, other processes' memory, and our own programs, pins and daemon. Each sees the
//! whole host and returns at once for a task that is not guarded. Errs towards refusing a guarded one.
//!
//! Structure members are read with offsets from BTF, because Rust has no relocations for them. Only a pointer
//! that a helper has to take as a socket is loaded from a constant offset: the verifier follows types there, so
//! on a kernel with another layout the program does not load, and the daemon says so.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::programs::LsmContext;
use enforcer_common::{Hardening, Hook, NO_SESSION, Refusal};

use crate::event::{self, Attempt};
use crate::maps::{self, HARDENING};
use crate::task::{self, Task};

pub(crate) mod own;
pub(crate) mod pin;
pub(crate) mod process;
pub(crate) mod socket;
pub(crate) mod unix;

/// Verdicts: zero goes on, a negative errno refuses.
pub(crate) const GO_ON: i32 = 0;
const EPERM: i32 = 1;

/// Offset of `sk` in `struct socket`; see above.
const SOCKET_SK: usize = 24;

/// A copy of what the hooks need to know. The one element always exists.
#[inline(always)]
fn hardening() -> Hardening {
    HARDENING.get(0).copied().unwrap_or_default()
}

/// The current task when it is guarded.
#[inline(always)]
fn guarded() -> Option<Task> {
    task::current(task::settings())
}

/// An argument as an address.
#[inline(always)]
fn address(ctx: &LsmContext, place: usize) -> u64 {
    ctx.arg::<*const u8>(place) as u64
}

/// The `sk` of a `struct socket` that the verifier knows as one; null where it has none.
#[inline(always)]
fn sock_of(socket: *mut c_void) -> *mut c_void {
    // SAFETY: the argument of a hook is a live `struct socket`; the verifier checks offset and type.
    unsafe { ptr::read_volatile(socket.cast::<u8>().add(SOCKET_SK).cast::<*mut c_void>()) }
}

/// Whether a socket was made by the session of a task.
#[inline(always)]
fn is_own(sock: *mut c_void, task: &Task) -> bool {
    let label = maps::socket_label(sock);
    task.session != NO_SESSION && label.is_some_and(|label| label.session == task.session)
}

#[inline(always)]
fn refuse(hook: Hook, refusal: Refusal, task: &Task, attempt: &Attempt) -> i32 {
    event::refused(hook, refusal, task, attempt);
    -EPERM
}
