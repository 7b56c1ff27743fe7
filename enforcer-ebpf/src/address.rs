// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Reads and writes the address fields of the hooks' contexts.
//!
//! Each field is read once, volatile, at a fixed offset: the verifier refuses a context pointer that the
//! compiler has added to ("dereference of modified ctx ptr"), and merged reads end up as that.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::programs::SockAddrContext;
use enforcer_common::mapped_v4;

use crate::event::Attempt;

/// Which half of a hook pair runs; it says which address fields the context has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// The socket of the context.
#[inline(always)]
pub(crate) fn socket(ctx: &SockAddrContext) -> *mut c_void {
    // SAFETY: the kernel fills this member in every hook of this kind.
    unsafe { ptr::read_volatile(&raw const (*ctx.sock_addr).__bindgen_anon_1.sk) }.cast()
}

/// The address in the context, with what kind of socket it is for.
#[inline(always)]
pub(crate) fn attempt(ctx: &SockAddrContext, family: Family) -> Attempt {
    let raw = ctx.sock_addr;
    // SAFETY: these reads are of fields that every hook of this kind may read.
    let (port, socket_family, socket_type, protocol) = unsafe {
        (
            ptr::read_volatile(&raw const (*raw).user_port),
            ptr::read_volatile(&raw const (*raw).family),
            ptr::read_volatile(&raw const (*raw).type_),
            ptr::read_volatile(&raw const (*raw).protocol),
        )
    };
    Attempt {
        address: address(ctx, family),
        port: u16::from_be(port as u16),
        family: socket_family as u16,
        socket_type: socket_type as u16,
        protocol: protocol as u16,
        ..Attempt::default()
    }
}

#[inline(always)]
fn address(ctx: &SockAddrContext, family: Family) -> [u8; 16] {
    let raw = ctx.sock_addr;
    match family {
        Family::V4 => {
            // SAFETY: the IPv4 hooks may read this field.
            let word = unsafe { ptr::read_volatile(&raw const (*raw).user_ip4) };
            mapped_v4(word.to_ne_bytes())
        }
        Family::V6 => {
            // SAFETY: the IPv6 hooks may read these fields.
            let words = unsafe {
                [
                    ptr::read_volatile(&raw const (*raw).user_ip6[0]),
                    ptr::read_volatile(&raw const (*raw).user_ip6[1]),
                    ptr::read_volatile(&raw const (*raw).user_ip6[2]),
                    ptr::read_volatile(&raw const (*raw).user_ip6[3]),
                ]
            };
            bytes(words)
        }
    }
}

/// Puts another address into the context. An IPv4 hook takes the last four bytes.
#[inline(always)]
pub(crate) fn rewrite(ctx: &SockAddrContext, family: Family, address: &[u8; 16], port: u16) {
    let raw = ctx.sock_addr;
    let [w0, w1, w2, w3] = words(address);
    // SAFETY: connect, sendmsg, recvmsg and getpeername may write the fields of their family.
    unsafe {
        ptr::write_volatile(&raw mut (*raw).user_port, u32::from(port.to_be()));
        if family == Family::V4 {
            ptr::write_volatile(&raw mut (*raw).user_ip4, w3);
        } else {
            ptr::write_volatile(&raw mut (*raw).user_ip6[0], w0);
            ptr::write_volatile(&raw mut (*raw).user_ip6[1], w1);
            ptr::write_volatile(&raw mut (*raw).user_ip6[2], w2);
            ptr::write_volatile(&raw mut (*raw).user_ip6[3], w3);
        }
    }
}

/// 127.0.0.1, mapped.
const LOOPBACK_V4: [u8; 16] = mapped_v4([127, 0, 0, 1]);
/// ::1.
const LOOPBACK_V6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Where the daemon listens for a destination of this kind. A mapped destination goes to mapped
/// loopback: a socket that is bound to a mapped source cannot reach `::1`.
#[inline(always)]
pub(crate) fn loopback_for(address: &[u8; 16]) -> [u8; 16] {
    if is_mapped_v4(address) { LOOPBACK_V4 } else { LOOPBACK_V6 }
}

/// Whether an address leads to this host's loopback: 127.0.0.0/8, `::1`, and the zero addresses, which
/// the kernel sends there.
#[inline(always)]
pub(crate) fn is_loopback(address: &[u8; 16]) -> bool {
    let [w0, w1, w2, w3] = words(address);
    if is_mapped_v4(address) {
        return w3 == 0 || w3.to_ne_bytes()[0] == 127;
    }
    w0 == 0 && w1 == 0 && w2 == 0 && (w3 == 0 || w3 == 1_u32.to_be())
}

/// Whether an address is a group's (multicast): 224.0.0.0/4, mapped, or ff00::/8.
#[inline(always)]
pub(crate) fn is_group(address: &[u8; 16]) -> bool {
    let [w0, _, _, w3] = words(address);
    if is_mapped_v4(address) {
        return w3.to_ne_bytes()[0] & 0xf0 == 0xe0;
    }
    w0.to_ne_bytes()[0] == 0xff
}

#[inline(always)]
pub(crate) fn is_mapped_v4(address: &[u8; 16]) -> bool {
    let [w0, w1, w2, _] = words(address);
    w0 == 0 && w1 == 0 && w2 == 0xffff_u32.to_be()
}

#[inline(always)]
pub(crate) fn words(address: &[u8; 16]) -> [u32; 4] {
    // SAFETY: both are sixteen plain bytes; the read does not rely on alignment.
    unsafe { ptr::from_ref(address).cast::<[u32; 4]>().read_unaligned() }
}

#[inline(always)]
pub(crate) fn bytes(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: both are sixteen plain bytes.
    unsafe { core::mem::transmute(words) }
}
