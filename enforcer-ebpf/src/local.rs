// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Loopback is not an exit: of what listens there a guarded task reaches directly only what its own session
//! made. Everything else goes to the proxy and is judged there like any other destination.
//!
//! Asks the kernel which socket would answer, so that neither a port nor an address has to be trusted.
//! Whoever closes that listener before the connect arrives can at most let it reach another one that shares
//! the port by its owner's own wish (`SO_REUSEPORT`, same user).

use core::ffi::c_void;

use aya_ebpf::bindings::{bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_2 as TupleV6};
use aya_ebpf::bindings::bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 as TupleV4;
use aya_ebpf::helpers::generated::{bpf_sk_lookup_tcp, bpf_sk_release};
use aya_ebpf::programs::SockAddrContext;

use crate::address;
use crate::event::Attempt;
use crate::maps;
use crate::task::Task;

/// `BPF_F_CURRENT_NETNS`: the namespace of the socket that connects.
const CURRENT_NETNS: u64 = u64::MAX;

/// Whether a connect would reach a listener that the same session made.
#[inline(always)]
pub(crate) fn is_own_listener(ctx: &SockAddrContext, task: &Task, attempt: &Attempt) -> bool {
    if !address::is_loopback(&attempt.address) {
        return false;
    }
    let port = u32::from(attempt.port.to_be()) as u16;
    let [w0, w1, w2, w3] = address::words(&attempt.address);
    if address::is_mapped_v4(&attempt.address) {
        // The kernel sends the zero address to 127.0.0.1.
        let to = if w3 == 0 { u32::from_ne_bytes([127, 0, 0, 1]) } else { w3 };
        let mut tuple = TupleV4 { saddr: to, daddr: to, sport: 0, dport: port };
        return is_made_by(ctx, task, (&raw mut tuple).cast(), size_of::<TupleV4>());
    }
    let last = if w3 == 0 { 1_u32.to_be() } else { w3 };
    let to = [w0, w1, w2, last];
    let mut tuple = TupleV6 { saddr: to, daddr: to, sport: 0, dport: port };
    is_made_by(ctx, task, (&raw mut tuple).cast(), size_of::<TupleV6>())
}

#[inline(always)]
fn is_made_by(ctx: &SockAddrContext, task: &Task, tuple: *mut bpf_sock_tuple, bytes: usize) -> bool {
    let context: *mut c_void = ctx.sock_addr.cast();
    // SAFETY: the context is the one the kernel passed in; the tuple has the given size.
    let found = unsafe { bpf_sk_lookup_tcp(context, tuple, bytes as u32, CURRENT_NETNS, 0) };
    if found.is_null() {
        return false;
    }
    let label = maps::socket_label(found.cast());
    // SAFETY: the socket was found above, and nothing uses it afterwards.
    unsafe { bpf_sk_release(found.cast()) };
    label.is_some_and(|label| label.session == task.session)
}
