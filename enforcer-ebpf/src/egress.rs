// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The backstop: a packet of a guarded socket leaves by the loopback device or not at all.
//!
//! SECURITY: tests the device, not the address. A route option, a source route or a bound device set
//! earlier on the socket still wins against a rewritten destination, and takes payload along in the
//! SYN (Fast Open); all of them show here as a device that is not loopback.
//!
//! The same holds for what arrives: the kernel answers some packets without the socket that they are for (a
//! SYN cookie when the queue of a listener is full, a challenge), and no hook sees such an answer.
//!
//! Of a datagram socket only queries to the resolver go on, on the loopback device, too.
//!
//! SECURITY: this is the one place that sees what a connected datagram socket sends, and it looks at the packet and
//! not at what the socket was last used for: a datagram may be begun before the socket is connected anew.
//!
//! Also hands the origin of a flow to the proxy and the resolver, which know their peer only: before the packet
//! that begins the flow can arrive, and where its source port is known, also that of an unconnected datagram.
//!
//! SECURITY: source address and port do not name a connection for good. While one that its client has reset waits
//! in the proxy's queue, with what it said, the next may have its port. Hence the key has the sequence number of
//! the SYN, and what a connection that nobody took has left cannot become another's; the map evicts it.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::programs::SkBuffContext;
use enforcer_common::{
    Hook, Origin, OriginKey, PROTOCOL_TCP, PROTOCOL_UDP, Refusal, SocketLabel, capture, mapped_v4,
};

use crate::address;
use crate::connect::SOCK_DGRAM;
use crate::event::{self, Attempt};
use crate::local::{self, Flow};
use crate::maps::{self, ORIGINS};
use crate::task::{self, Task};
use crate::watch;

/// Verdicts of the hook: the packet goes on, or is dropped.
const GO_ON: i32 = 1;
const DROP: i32 = 0;

/// The loopback device is the first one of every network namespace.
const LOOPBACK_IFINDEX: u32 = 1;
const ETH_P_IP: u16 = 0x0800;
const IPV6_HEADER_BYTES: usize = 40;
const TCP_SEQUENCE_OFFSET: usize = 4;
const TCP_FLAGS_OFFSET: usize = 13;
const TCP_SYN: u8 = 2;
const TCP_ACK: u8 = 16;

/// `cgroup_skb/egress`.
#[inline(always)]
pub(crate) fn packet(ctx: &SkBuffContext) -> i32 {
    let raw = ctx.skb.skb;
    // SAFETY: the hook may read this field.
    let ifindex = unsafe { ptr::read_volatile(&raw const (*raw).ifindex) };
    // SAFETY: the hook may read this member; it is checked against null where it is used.
    let socket = unsafe { ptr::read_volatile(&raw const (*raw).__bindgen_anon_2.sk) };
    let origin = maps::socket_origin(socket.cast());
    if let Some(origin) = origin
        && origin.protocol == PROTOCOL_UDP
    {
        return datagram(ctx, origin, ifindex == LOOPBACK_IFINDEX);
    }
    if ifindex == LOOPBACK_IFINDEX {
        return match origin {
            Some(origin) => {
                hand_over(ctx, origin);
                GO_ON
            }
            None => within_session(ctx, socket.cast()),
        };
    }
    let task = match origin {
        Some(origin) => who_connected(origin),
        None => match maker(ctx, socket.cast()) {
            Some(maker) => maker,
            None => return GO_ON,
        },
    };
    event::refused(Hook::Egress, Refusal::Device, &task, &destination_of(ctx));
    DROP
}

/// A packet of a datagram socket that a hook let connect or send. Of a process that is not guarded only what goes
/// to an endpoint is dropped.
#[inline(always)]
fn datagram(ctx: &SkBuffContext, origin: &Origin, is_loopback: bool) -> i32 {
    let mut attempt = destination_of(ctx);
    // What has the resolver's port was redirected there: if it goes anywhere else, a device or a route leads it.
    let mut refusal = Refusal::Device;
    if attempt.protocol == PROTOCOL_UDP {
        if is_resolver_port(origin, attempt.port) {
            if is_loopback && address::is_loopback(&attempt.address) {
                hand_over(ctx, origin);
                return GO_ON;
            }
        } else {
            refusal = Refusal::Datagram;
        }
    }
    if origin.capture != capture::ALL && !watch::is_endpoint_at(&attempt.address, attempt.port) {
        return GO_ON;
    }
    attempt.socket_type = SOCK_DGRAM;
    event::refused(Hook::Egress, refusal, &who_connected(origin), &attempt);
    DROP
}

#[inline(always)]
fn who_connected(origin: &Origin) -> Task {
    Task {
        session: origin.session,
        tgid: origin.tgid,
        uid: origin.uid,
        comm: origin.comm,
        capture: origin.capture,
    }
}

/// `cgroup_skb/ingress`: nothing from outside has business with a guarded socket, as it cannot answer.
#[inline(always)]
pub(crate) fn arriving(ctx: &SkBuffContext) -> i32 {
    let raw = ctx.skb.skb;
    // SAFETY: the hook may read this field.
    let ifindex = unsafe { ptr::read_volatile(&raw const (*raw).ifindex) };
    if ifindex == LOOPBACK_IFINDEX {
        return GO_ON;
    }
    // SAFETY: the hook may read this member; it is checked against null where it is used.
    let socket = unsafe { ptr::read_volatile(&raw const (*raw).__bindgen_anon_2.sk) };
    let Some(task) = maker(ctx, socket.cast()) else {
        return GO_ON;
    };
    event::refused(Hook::Ingress, Refusal::Device, &task, &sender(ctx));
    DROP
}

/// A connect that is not redirected was judged by the listener that the connect hook found. The one that the
/// SYN reaches can be another one: whoever shares a port (`SO_REUSEPORT`) is chosen by the source port too, which
/// is known only now.
#[inline(always)]
fn within_session(ctx: &SkBuffContext, socket: *mut c_void) -> i32 {
    let Some(SocketLabel { session, tgid, uid, comm }) = maps::socket_label(socket) else {
        return GO_ON;
    };
    let Some(header) = header(ctx) else {
        return GO_ON;
    };
    if u16::from(header.protocol) != PROTOCOL_TCP || !is_first(ctx, &header) {
        return GO_ON;
    }
    let Some((source, destination)) = ports(ctx, &header) else {
        return GO_ON;
    };
    let flow = Flow { from: header.source, to: header.destination, source, destination };
    let reached = local::session_at(ctx.skb.skb.cast(), &flow);
    if reached == session || reached == local::NOBODY {
        return GO_ON;
    }
    let task = Task { session, tgid, uid, comm, capture: capture::ALL };
    event::refused(Hook::Egress, Refusal::Stranger, &task, &destination_of(ctx));
    DROP
}

/// A SYN that answers nothing.
#[inline(always)]
fn is_first(ctx: &SkBuffContext, header: &Header) -> bool {
    let flags: u8 = ctx.load(header.transport + TCP_FLAGS_OFFSET).unwrap_or_default();
    flags & (TCP_SYN | TCP_ACK) == TCP_SYN
}

/// Who made the socket of a packet: by its label, else by its cgroup, where a listener that is older than
/// the programs has no label.
#[inline(always)]
fn maker(ctx: &SkBuffContext, socket: *mut c_void) -> Option<Task> {
    if let Some(label) = maps::socket_label(socket) {
        let SocketLabel { session, tgid, uid, comm } = label;
        return Some(Task { session, tgid, uid, comm, capture: capture::ALL });
    }
    let session = task::session_of_packet(ctx, task::settings())?;
    Some(Task { session, tgid: 0, uid: 0, comm: [0; 16], capture: capture::ALL })
}

/// Where an IP packet comes from and goes to.
struct Header {
    source: [u8; 16],
    destination: [u8; 16],
    protocol: u8,
    /// Offset of the transport header.
    transport: usize,
}

/// The IP header; extension headers of IPv6 are not followed.
#[inline(always)]
fn header(ctx: &SkBuffContext) -> Option<Header> {
    if u16::from_be(ctx.skb.protocol() as u16) == ETH_P_IP {
        let fixed: [u8; 20] = ctx.load(0).ok()?;
        return Some(Header {
            source: mapped_v4([fixed[12], fixed[13], fixed[14], fixed[15]]),
            destination: mapped_v4([fixed[16], fixed[17], fixed[18], fixed[19]]),
            protocol: fixed[9],
            transport: usize::from(fixed[0] & 0x0f) * 4,
        });
    }
    Some(Header {
        source: ctx.load(8).ok()?,
        destination: ctx.load(24).ok()?,
        protocol: ctx.load(6).ok()?,
        transport: IPV6_HEADER_BYTES,
    })
}

/// Source and destination port.
#[inline(always)]
fn ports(ctx: &SkBuffContext, header: &Header) -> Option<(u16, u16)> {
    let [a, b, c, d]: [u8; 4] = ctx.load(header.transport).ok()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// Leaves the origin of a flow where the proxy and the resolver look for it. Of datagrams, only for queries.
#[inline(always)]
fn hand_over(ctx: &SkBuffContext, origin: &Origin) {
    let Some(header) = header(ctx) else {
        return;
    };
    if u16::from(header.protocol) != origin.protocol {
        return;
    }
    let Some((source, _)) = ports(ctx, &header) else {
        return;
    };
    let sequence = match origin.protocol {
        PROTOCOL_TCP if is_first(ctx, &header) => sequence(ctx, &header),
        PROTOCOL_UDP => 0,
        _ => return,
    };
    let key = OriginKey {
        netns: origin.netns,
        address: header.source,
        port: source,
        protocol: origin.protocol,
        sequence,
    };
    // A failed insert leaves the flow without an origin: the proxy closes it, and the record of a query names
    // no session.
    let _ = ORIGINS.insert(key, origin, 0);
}

#[inline(always)]
fn is_resolver_port(origin: &Origin, port: u16) -> bool {
    task::door(origin.netns).is_some_and(|door| door.resolver_index(port).is_some())
}

/// The sequence number of a TCP segment; zero of one that is cut off, which no proxy takes.
#[inline(always)]
fn sequence(ctx: &SkBuffContext, header: &Header) -> u32 {
    ctx.load(header.transport + TCP_SEQUENCE_OFFSET).map_or(0, u32::from_be_bytes)
}

/// What a dropped packet was, as far as its header tells.
#[inline(always)]
fn destination_of(ctx: &SkBuffContext) -> Attempt {
    let family = ctx.skb.family() as u16;
    let Some(header) = header(ctx) else {
        return Attempt { family, ..Attempt::default() };
    };
    let port = ports(ctx, &header).map_or(0, |(_, destination)| destination);
    Attempt {
        address: header.destination,
        port,
        family,
        socket_type: 0,
        protocol: u16::from(header.protocol),
        ..Attempt::default()
    }
}

/// Who sent a packet that arrived, as far as its header tells.
#[inline(always)]
fn sender(ctx: &SkBuffContext) -> Attempt {
    let family = ctx.skb.family() as u16;
    let Some(header) = header(ctx) else {
        return Attempt { family, ..Attempt::default() };
    };
    let port = ports(ctx, &header).map_or(0, |(source, _)| source);
    let protocol = u16::from(header.protocol);
    Attempt { address: header.source, port, family, protocol, ..Attempt::default() }
}
