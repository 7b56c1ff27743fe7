// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Hands the original destination of a TCP flow to the proxy, which knows its peer only.
//!
//! Runs when the source port is chosen and before the SYN is sent, so that the entry is there before
//! the proxy can accept. The entry goes when the proxy takes it, when the connect fails, or when the
//! map evicts it; without one the proxy refuses, it never guesses.
//!
//! SECURITY: source address and port do not name a connection for good. While one that its client has reset
//! waits in the proxy's queue, with what it said, the next may have its port. Hence the key has the sequence
//! number of the SYN, and what a closed connection has left cannot become another's.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::programs::SockOpsContext;
use enforcer_common::{Origin, OriginKey, PROTOCOL_TCP, mapped_v4};

use crate::address;
use crate::maps::{self, ORIGINS};
use crate::task;

const BPF_SOCK_OPS_TCP_CONNECT_CB: u32 = 3;
const BPF_SOCK_OPS_STATE_CB: u32 = 10;
const BPF_SOCK_OPS_STATE_CB_FLAG: u32 = 4;
const BPF_TCP_SYN_SENT: u32 = 2;
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
    let socket = socket(ctx);
    let Some(mut origin) = maps::socket_origin(socket).copied() else {
        return;
    };
    if origin.protocol != PROTOCOL_TCP {
        return;
    }
    // What the SYN, which is made next, will carry.
    origin.sequence = task::read(task::address_of(socket), task::settings().tcp_write_seq);
    maps::remember(socket, &mut origin);
    // A failed insert leaves the flow without an origin: the proxy closes it.
    let _ = ORIGINS.insert(key(ctx, &origin), origin, 0);
    let flags = ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG;
    // A flag that could not be set leaves the entry to the map's own bound.
    let _ = ctx.set_cb_flags(flags as i32);
}

#[inline(always)]
fn changing(ctx: &SockOpsContext) {
    // SAFETY: this operation has its old and its new state in the first two arguments.
    let (old, new) = unsafe {
        (
            ptr::read_volatile(&raw const (*ctx.ops).__bindgen_anon_1.args[0]),
            ptr::read_volatile(&raw const (*ctx.ops).__bindgen_anon_1.args[1]),
        )
    };
    // A connection that was established is in the proxy's queue, perhaps with data, also when its client has
    // left.
    if old != BPF_TCP_SYN_SENT || new != BPF_TCP_CLOSE {
        return;
    }
    if let Some(origin) = maps::socket_origin(socket(ctx)) {
        // The map may have evicted it.
        let _ = ORIGINS.remove(key(ctx, origin));
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
fn key(ctx: &SockOpsContext, origin: &Origin) -> OriginKey {
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
    let Origin { netns, sequence, .. } = *origin;
    OriginKey { netns, address, port: port as u16, protocol: PROTOCOL_TCP, sequence }
}
