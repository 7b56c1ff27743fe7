// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Unconnected UDP of a guarded task: port 53 goes to the resolver, the rest nowhere; and what hides
//! the redirect from the task: answers and peer names show the server that was asked.
//!
//! A socket remembers one server. With two servers asked in turn on one socket both answers carry the
//! address of the last one, which a stub resolver drops and asks again: wrong towards silence.

use aya_ebpf::programs::SockAddrContext;
use enforcer_common::{Hook, PROTOCOL_UDP, Refusal};

use crate::address::{self, Family};
use crate::connect::{self, GO_ON, REFUSE};
use crate::event;
use crate::maps;
use crate::task;

/// `cgroup/sendmsg4` and `cgroup/sendmsg6`.
#[inline(always)]
pub(crate) fn sendmsg(ctx: &SockAddrContext, family: Family) -> i32 {
    let settings = task::settings();
    let Some(task) = task::current(&settings) else {
        return GO_ON;
    };
    let attempt = address::attempt(ctx, family);
    // UDP-Lite and ping cannot be made, but can be received from another process.
    let verdict = match attempt.protocol {
        PROTOCOL_UDP => connect::redirect(ctx, family, &settings, &task, &attempt),
        _ => Err(Refusal::SocketKind),
    };
    match verdict {
        Ok(()) => GO_ON,
        Err(refusal) => {
            event::refused(Hook::Sendmsg, refusal, &task, &attempt);
            REFUSE
        }
    }
}

/// `cgroup/recvmsg4` and `cgroup/recvmsg6`: only what comes from our resolver is renamed.
#[inline(always)]
pub(crate) fn recvmsg(ctx: &SockAddrContext, family: Family) {
    let Some(origin) = maps::socket_origin(address::socket(ctx)) else {
        return;
    };
    let attempt = address::attempt(ctx, family);
    let is_resolver = task::door(origin.netns).is_some_and(|door| attempt.port == door.resolver_port)
        && address::is_loopback(&attempt.address)
        && origin.protocol == PROTOCOL_UDP;
    if is_resolver {
        address::rewrite(ctx, family, &origin.address, origin.port);
    }
}

/// `cgroup/getpeername4` and `cgroup/getpeername6`.
#[inline(always)]
pub(crate) fn getpeername(ctx: &SockAddrContext, family: Family) {
    if let Some(origin) = maps::socket_origin(address::socket(ctx)) {
        address::rewrite(ctx, family, &origin.address, origin.port);
    }
}
