// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Hands the original destination of a TCP flow to the proxy, which knows its peer only.
//!
//! Runs when the source port is chosen and before the SYN is sent, so that the entry is there before
//! the proxy can accept. The entry goes when the proxy takes it, when the socket closes, or when the
//! map evicts it; without one the proxy refuses, it never guesses.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::programs::SockOpsContext;
use enforcer_common::{OriginKey, PROTOCOL_TCP, mapped_v4};

use crate::address;
use crate::maps::{self, ORIGINS};

const BPF_SOCK_OPS_TCP_CONNECT_CB: u32 = 3;
const BPF_SOCK_OPS_STATE_CB: u32 = 10;
const BPF_SOCK_OPS_STATE_CB_FLAG: u32 = 4;
const BPF_TCP_CLOSE: u32 = 7;
const AF_INET: u32 = 2;

/// `sockops`.
#[inline(always)]
pub(crate) fn hand_over(ctx: &SockOpsContext) {
    let raw = ctx.ops;
    // SAFETY: every operation may read this field.
    let operation = unsafe { ptr::read_volatile(&raw const (*raw).op) };
    match operation {
        BPF_SOCK_OPS_TCP_CONNECT_CB => connecting(ctx),
        BPF_SOCK_OPS_STATE_CB => changing(ctx),
        _ => {}
    }
}

#[inline(always)]
fn connecting(ctx: &SockOpsContext) {
    let Some(origin) = maps::socket_origin(socket(ctx)) else {
        return;
    };
    if origin.protocol != PROTOCOL_TCP {
        return;
    }
    // A failed insert leaves the flow without an origin: the proxy closes it.
    let _ = ORIGINS.insert(key(ctx, origin.netns), origin, 0);
    let flags = ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG;
    // A flag that could not be set leaves the entry to the map's own bound.
    let _ = ctx.set_cb_flags(flags as i32);
}

#[inline(always)]
fn changing(ctx: &SockOpsContext) {
    // SAFETY: this operation has its new state in the second argument.
    let state = unsafe { ptr::read_volatile(&raw const (*ctx.ops).__bindgen_anon_1.args[1]) };
    if state != BPF_TCP_CLOSE {
        return;
    }
    let Some(origin) = maps::socket_origin(socket(ctx)) else {
        return;
    };
    let key = key(ctx, origin.netns);
    // SAFETY: only the cookie is read; a torn read could at most leave the entry to the map's bound.
    let is_ours = unsafe { ORIGINS.get(&key) }.is_some_and(|kept| kept.cookie == origin.cookie);
    if is_ours {
        // The proxy may have taken it in between.
        let _ = ORIGINS.remove(&key);
    }
}

#[inline(always)]
fn socket(ctx: &SockOpsContext) -> *mut c_void {
    // SAFETY: every operation may read this member; it is checked against null where it is used.
    unsafe { ptr::read_volatile(&raw const (*ctx.ops).__bindgen_anon_2.sk) }.cast()
}

/// Every field is read before the family is looked at: reads in two branches would be merged into one, of a
/// context pointer that was added to.
#[inline(always)]
fn key(ctx: &SockOpsContext, netns: u64) -> OriginKey {
    let raw = ctx.ops;
    // SAFETY: every operation may read these fields.
    let (family, port, v4, v6) = unsafe {
        (
            ptr::read_volatile(&raw const (*raw).family),
            ptr::read_volatile(&raw const (*raw).local_port),
            ptr::read_volatile(&raw const (*raw).local_ip4),
            [
                ptr::read_volatile(&raw const (*raw).local_ip6[0]),
                ptr::read_volatile(&raw const (*raw).local_ip6[1]),
                ptr::read_volatile(&raw const (*raw).local_ip6[2]),
                ptr::read_volatile(&raw const (*raw).local_ip6[3]),
            ],
        )
    };
    let address = if family == AF_INET { mapped_v4(v4.to_ne_bytes()) } else { address::bytes(v6) };
    OriginKey { netns, address, port: port as u16, protocol: PROTOCOL_TCP, padding: 0 }
}
