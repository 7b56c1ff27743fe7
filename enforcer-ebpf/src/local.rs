// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Loopback is not an exit: of what listens there a guarded task reaches directly only what its own session
//! made. Everything else goes to the proxy and is judged there like any other destination.
//!
//! Asks the kernel which socket would answer, so that neither a port nor an address has to be trusted. It asks
//! twice: when the connect is made, and when its SYN leaves (`egress.rs`), because the source port has a say too.

use core::ffi::c_void;

use aya_ebpf::bindings::{bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 as TupleV6};
use aya_ebpf::bindings::bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 as TupleV4;
use aya_ebpf::helpers::generated::{bpf_sk_lookup_tcp, bpf_sk_release};
use aya_ebpf::programs::SockAddrContext;
use enforcer_common::NO_SESSION;

use crate::address;
use crate::event::Attempt;
use crate::maps;
use crate::task::Task;

/// `BPF_F_CURRENT_NETNS`: the namespace of the socket that connects.
const CURRENT_NETNS: u64 = u64::MAX;

/// The address at which a connect would reach a listener that the same session made.
///
/// SECURITY: it has to go to exactly that address. Of the zero address the kernel makes the socket's own source
/// where it has one, and for `::` on a socket with a mapped source 127.0.0.1: another listener than this one.
#[inline(always)]
pub(crate) fn own_listener(
    ctx: &SockAddrContext,
    task: &Task,
    attempt: &Attempt,
) -> Option<[u8; 16]> {
    if !address::is_loopback(&attempt.address) {
        return None;
    }
    let [w0, w1, w2, w3] = address::words(&attempt.address);
    let last = match w3 {
        0 if address::is_mapped_v4(&attempt.address) => u32::from_ne_bytes([127, 0, 0, 1]),
        0 => 1_u32.to_be(),
        other => other,
    };
    let to = address::bytes([w0, w1, w2, last]);
    let flow = Flow { from: to, to, source: 0, destination: attempt.port };
    (session_at(ctx.sock_addr.cast(), &flow) == task.session).then_some(to)
}

/// Two ends of a TCP connection, addresses as in `enforcer_common::OriginKey`, ports in host byte order.
pub(crate) struct Flow {
    pub(crate) from: [u8; 16],
    pub(crate) to: [u8; 16],
    pub(crate) source: u16,
    pub(crate) destination: u16,
}

/// What [`session_at`] says when nobody listens.
pub(crate) const NOBODY: u64 = u64::MAX;

/// The session that made the socket which a flow would reach; [`NO_SESSION`] when nobody guarded did. A number
/// in each case: of an option inside an option the verifier sees parts that nobody wrote.
#[inline(always)]
pub(crate) fn session_at(ctx: *mut c_void, flow: &Flow) -> u64 {
    let (sport, dport) = (flow.source.to_be(), flow.destination.to_be());
    let (saddr, daddr) = (address::words(&flow.from), address::words(&flow.to));
    if address::is_mapped_v4(&flow.to) {
        let mut tuple = TupleV4 { saddr: saddr[3], daddr: daddr[3], sport, dport };
        return session_of(ctx, (&raw mut tuple).cast(), size_of::<TupleV4>());
    }
    let mut tuple = TupleV6 { saddr, daddr, sport, dport };
    session_of(ctx, (&raw mut tuple).cast(), size_of::<TupleV6>())
}

#[inline(always)]
fn session_of(ctx: *mut c_void, tuple: *mut bpf_sock_tuple, bytes: usize) -> u64 {
    // SAFETY: the context is one that the kernel passed in; the tuple has the given size.
    let found = unsafe { bpf_sk_lookup_tcp(ctx, tuple, bytes as u32, CURRENT_NETNS, 0) };
    if found.is_null() {
        return NOBODY;
    }
    let session = maps::socket_label(found.cast()).map_or(NO_SESSION, |label| label.session);
    // SAFETY: the socket was found above, and nothing uses it afterwards.
    unsafe { bpf_sk_release(found.cast()) };
    session
}
