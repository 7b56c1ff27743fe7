// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! `bind()` of a guarded task: nobody takes the place of the proxy or the resolver while they are down.
//!
//! Other ports may be bound: what a guarded listener answers to the outside is dropped in `egress.rs`.

use aya_ebpf::helpers::generated::bpf_get_netns_cookie;
use aya_ebpf::programs::SockAddrContext;
use enforcer_common::{Hook, Refusal};

use crate::address::{self, Family};
use crate::connect::{GO_ON, REFUSE};
use crate::event;
use crate::task;

/// `cgroup/bind4` and `cgroup/bind6`.
#[inline(always)]
pub(crate) fn bind(ctx: &SockAddrContext, family: Family) -> i32 {
    let Some(task) = task::current(task::settings()) else {
        return GO_ON;
    };
    let attempt = address::attempt(ctx, family);
    // SAFETY: the context is the one the kernel passed in.
    let netns = unsafe { bpf_get_netns_cookie(ctx.sock_addr.cast()) };
    if !task::door(netns).is_some_and(|door| door.has_port(attempt.port)) {
        return GO_ON;
    }
    event::refused(Hook::Bind, Refusal::OwnPort, &task, &attempt);
    REFUSE
}
