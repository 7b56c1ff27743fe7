// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which way around was tried, told from what the kernel saw of it.
//!
//! Pure: the hook, why it refused, and the facts of the socket. It names no more than they prove; where two
//! techniques look the same, the name says what was seen.

use serde::{Deserialize, Serialize};

/// Where an attempt was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The admin API.
    Admin,
    /// `bind()`.
    Bind,
    /// `bpf()`.
    Bpf,
    /// `connect()`.
    Connect,
    /// The proxy's listener.
    Door,
    /// A packet on its way out.
    Egress,
    /// `execve()` and similar calls.
    Exec,
    /// A descriptor that another process sent.
    FileReceive,
    /// `fork()` and similar calls.
    Fork,
    /// A packet on its way in.
    Ingress,
    /// `kill()` and similar calls.
    Kill,
    /// `ptrace()`, and what else reads or writes another process.
    Ptrace,
    /// `sendto()` and similar calls, where the socket has no peer.
    Sendmsg,
    /// `setsockopt()`.
    Setsockopt,
    /// `socket()`.
    SockCreate,
    /// `socket()` of any family.
    SocketCreate,
    /// `sendmsg()` and similar calls, on any socket.
    SocketSend,
    /// `connect()` of a Unix socket.
    UnixConnect,
    /// A datagram to a Unix socket.
    UnixSend,
    /// `unlink()` and similar calls.
    Unlink,
    /// `umount()`.
    Unmount,
    /// One that this version does not know.
    Unknown,
}

impl Hook {
    /// Every hook, by its word.
    pub const ALL: [Self; 22] = [
        Self::Admin,
        Self::Bind,
        Self::Bpf,
        Self::Connect,
        Self::Door,
        Self::Egress,
        Self::Exec,
        Self::FileReceive,
        Self::Fork,
        Self::Ingress,
        Self::Kill,
        Self::Ptrace,
        Self::Sendmsg,
        Self::Setsockopt,
        Self::SockCreate,
        Self::SocketCreate,
        Self::SocketSend,
        Self::UnixConnect,
        Self::UnixSend,
        Self::Unlink,
        Self::Unmount,
        Self::Unknown,
    ];

    /// The word in the record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Bind => "bind",
            Self::Bpf => "bpf",
            Self::Connect => "connect",
            Self::Door => "door",
            Self::Egress => "egress",
            Self::Exec => "exec",
            Self::FileReceive => "file_receive",
            Self::Fork => "fork",
            Self::Ingress => "ingress",
            Self::Kill => "task_kill",
            Self::Ptrace => "ptrace_access_check",
            Self::Sendmsg => "sendmsg",
            Self::Setsockopt => "setsockopt",
            Self::SockCreate => "sock_create",
            Self::SocketCreate => "socket_create",
            Self::SocketSend => "socket_sendmsg",
            Self::UnixConnect => "unix_stream_connect",
            Self::UnixSend => "unix_may_send",
            Self::Unlink => "inode_unlink",
            Self::Unmount => "sb_umount",
            Self::Unknown => "unknown",
        }
    }
}

/// Why it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A signal to the daemon.
    Daemon,
    /// A datagram that is no name query.
    Datagram,
    /// A packet on another device than loopback.
    Device,
    /// A socket of a family that is not allowed.
    Family,
    /// An internet socket that the session did not make.
    ForeignSocket,
    /// A guarded process asked Enforcer itself.
    Guarded,
    /// A Unix socket behind which somebody outside the session answers.
    Helper,
    /// A network namespace without a proxy.
    Namespace,
    /// No room for the label of the process.
    NoLabel,
    /// The programs lack settings or memory.
    NotReady,
    /// Nobody recorded where the peer comes from.
    OriginUnknown,
    /// A process outside the session.
    OtherProcess,
    /// A port of ours.
    OwnPort,
    /// The pins, or the file system they are on.
    Pins,
    /// A call of `bpf()`.
    Programs,
    /// A kind of socket that is not allowed.
    SocketKind,
    /// A socket option that is not allowed.
    SocketOption,
    /// A port of the session's on which somebody else would answer.
    Stranger,
    /// One that this version does not know.
    Unknown,
}

impl Refusal {
    /// The word in the record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Datagram => "datagram",
            Self::Device => "device",
            Self::Family => "family",
            Self::ForeignSocket => "foreign_socket",
            Self::Guarded => "guarded",
            Self::Helper => "helper",
            Self::Namespace => "namespace",
            Self::NoLabel => "no_label",
            Self::NotReady => "not_ready",
            Self::OriginUnknown => "origin_unknown",
            Self::OtherProcess => "other_process",
            Self::OwnPort => "own_port",
            Self::Pins => "pins",
            Self::Programs => "programs",
            Self::SocketKind => "socket_kind",
            Self::SocketOption => "socket_option",
            Self::Stranger => "stranger",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known of the socket. Numbers are those of Linux; zero where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketFacts {
    /// Address family (`AF_*`).
    pub family: u16,
    /// Socket type (`SOCK_*`).
    pub kind: u16,
    /// IP protocol.
    pub protocol: u16,
    /// Port of the destination.
    pub port: u16,
    /// The destination is a group and not a host.
    pub is_multicast: bool,
    /// Level of a socket option.
    pub option_level: u16,
    /// Name of a socket option.
    pub option_name: u16,
}

/// A bypass technique that was tried.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Technique {
    /// A guarded process asked the admin API.
    AdminApi,
    /// `SO_BINDTODEVICE`.
    BoundDevice,
    /// A call of `bpf()`.
    BpfCall,
    /// A datagram was sent over a connected socket, or such a socket was made elsewhere and could not be connected.
    /// A connect without a datagram is no attempt: the C library does that with each address of a name, to sort them.
    ConnectedDatagram,
    /// A signal to the daemon.
    DaemonSignal,
    /// A datagram that is no name query.
    Datagram,
    /// A datagram came in by another device than loopback.
    DatagramFromOutside,
    /// An internet socket that another process made, and handed over.
    ForeignSocket,
    /// Extension headers other than routes.
    IpOption,
    /// More guarded processes than have room for their label.
    LabelShortage,
    /// A listener was dialed from outside; the destination in the record is who dialed.
    ListenerFromOutside,
    /// `IPPROTO_MPTCP`.
    Mptcp,
    /// A datagram to a group.
    Multicast,
    /// Joining a group, for which the kernel sends by itself.
    MulticastJoin,
    /// A network namespace in which no proxy listens.
    NamespaceWithoutProxy,
    /// The programs had no settings, or no room for the origin.
    NotReady,
    /// A packet left by another device than loopback: a bound device, or a route of its own. The packet does
    /// not tell which.
    OtherDevice,
    /// A socket that is none of the internet's.
    OtherFamily,
    /// The memory or the descriptors of a process outside the session.
    OtherProcess,
    /// A protocol that is none of those named here.
    OtherProtocol,
    /// A port of the proxy or the resolver.
    OwnPort,
    /// `AF_PACKET`.
    PacketSocket,
    /// A ping socket (ICMP over a datagram socket).
    PingSocket,
    /// The pins, or the file system they are on.
    Pins,
    /// A datagram to port 443.
    Quic,
    /// `SOCK_RAW`.
    RawSocket,
    /// `IPPROTO_SCTP`.
    Sctp,
    /// A port of the session's that somebody else listens on, too (`SO_REUSEPORT`).
    SharedPort,
    /// `IP_OPTIONS`, `IPV6_RTHDR` and what else can carry a route.
    SourceRoute,
    /// `IPPROTO_UDPLITE`.
    UdpLite,
    /// A Unix socket behind which somebody outside the session answers: a helper, or a service of the host.
    UnixHelper,
    /// It is not known.
    #[default]
    Unknown,
    /// A peer of the proxy's port that did not come through the redirect, or whose origin was evicted.
    UnknownPeer,
}

impl Technique {
    /// The word in the record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AdminApi => "admin_api",
            Self::BoundDevice => "bound_device",
            Self::BpfCall => "bpf_call",
            Self::ConnectedDatagram => "connected_datagram",
            Self::DaemonSignal => "daemon_signal",
            Self::Datagram => "datagram",
            Self::DatagramFromOutside => "datagram_from_outside",
            Self::ForeignSocket => "foreign_socket",
            Self::IpOption => "ip_option",
            Self::LabelShortage => "label_shortage",
            Self::ListenerFromOutside => "listener_from_outside",
            Self::Mptcp => "mptcp",
            Self::Multicast => "multicast",
            Self::MulticastJoin => "multicast_join",
            Self::NamespaceWithoutProxy => "namespace_without_proxy",
            Self::NotReady => "not_ready",
            Self::OtherDevice => "other_device",
            Self::OtherFamily => "other_family",
            Self::OtherProcess => "other_process",
            Self::OtherProtocol => "other_protocol",
            Self::OwnPort => "own_port",
            Self::PacketSocket => "packet_socket",
            Self::PingSocket => "ping_socket",
            Self::Pins => "pins",
            Self::Quic => "quic",
            Self::RawSocket => "raw_socket",
            Self::Sctp => "sctp",
            Self::SharedPort => "shared_port",
            Self::SourceRoute => "source_route",
            Self::UdpLite => "udp_lite",
            Self::UnixHelper => "unix_helper",
            Self::Unknown => "unknown",
            Self::UnknownPeer => "unknown_peer",
        }
    }

    /// What was tried, in words for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AdminApi => "call of the admin API",
            Self::BoundDevice => "binding a socket to a device",
            Self::BpfCall => "call of bpf()",
            Self::ConnectedDatagram => "datagram over a connected UDP socket",
            Self::DaemonSignal => "signal to the daemon",
            Self::Datagram => "UDP datagram",
            Self::DatagramFromOutside => "UDP datagram from outside",
            Self::ForeignSocket => "socket of another process",
            Self::IpOption => "IP extension header",
            Self::LabelShortage => "process beyond those that can be labeled",
            Self::ListenerFromOutside => "connection from outside to a listener",
            Self::Mptcp => "MPTCP socket",
            Self::Multicast => "multicast datagram",
            Self::MulticastJoin => "joining a multicast group",
            Self::NamespaceWithoutProxy => "network namespace without a proxy",
            Self::NotReady => "attempt before the programs were ready",
            Self::OtherDevice => "packet by another device than loopback",
            Self::OtherFamily => "socket of another family",
            Self::OtherProcess => "reach into another process",
            Self::OtherProtocol => "socket of another protocol",
            Self::OwnPort => "use of a port of the proxy or the resolver",
            Self::PacketSocket => "packet socket",
            Self::PingSocket => "ping socket",
            Self::Pins => "change of the pins",
            Self::Quic => "QUIC datagram",
            Self::RawSocket => "raw socket",
            Self::Sctp => "SCTP socket",
            Self::SharedPort => "shared port of the session",
            Self::SourceRoute => "source route",
            Self::UdpLite => "UDP-Lite socket",
            Self::UnixHelper => "Unix socket of a helper outside the session",
            Self::Unknown => "attempt of an unknown kind",
            Self::UnknownPeer => "connection to the proxy that was not redirected",
        }
    }
}

/// The technique behind a refused attempt.
#[must_use]
pub const fn technique(hook: Hook, refusal: Refusal, socket: &SocketFacts) -> Technique {
    match refusal {
        Refusal::Daemon => Technique::DaemonSignal,
        Refusal::Datagram => datagram(hook, socket),
        Refusal::Device => device(hook, socket),
        Refusal::Family | Refusal::SocketKind => socket_kind(socket),
        Refusal::ForeignSocket => Technique::ForeignSocket,
        Refusal::Guarded => Technique::AdminApi,
        Refusal::Helper => Technique::UnixHelper,
        Refusal::Namespace => Technique::NamespaceWithoutProxy,
        Refusal::NoLabel => Technique::LabelShortage,
        Refusal::NotReady => Technique::NotReady,
        Refusal::OriginUnknown => Technique::UnknownPeer,
        Refusal::OtherProcess => Technique::OtherProcess,
        Refusal::OwnPort => Technique::OwnPort,
        Refusal::Pins => Technique::Pins,
        Refusal::Programs => Technique::BpfCall,
        Refusal::SocketOption => option(socket),
        Refusal::Stranger => Technique::SharedPort,
        Refusal::Unknown => Technique::Unknown,
    }
}

const PROTOCOL_TCP: u16 = 6;
const PORT_HTTPS: u16 = 443;

const fn datagram(hook: Hook, socket: &SocketFacts) -> Technique {
    match (socket.is_multicast, hook, socket.port) {
        (true, _, _) => Technique::Multicast,
        (false, Hook::Connect | Hook::Egress, _) => Technique::ConnectedDatagram,
        (false, _, PORT_HTTPS) => Technique::Quic,
        (false, _, _) => Technique::Datagram,
    }
}

const fn device(hook: Hook, socket: &SocketFacts) -> Technique {
    match (hook, socket.protocol) {
        // The hook takes the device off a socket before it looks further, and could not.
        (Hook::Connect, _) => Technique::BoundDevice,
        (Hook::Ingress, PROTOCOL_TCP) => Technique::ListenerFromOutside,
        (Hook::Ingress, _) => Technique::DatagramFromOutside,
        (_, _) => Technique::OtherDevice,
    }
}

/// Numbers of `linux/socket.h`, `linux/net.h` and `linux/in.h`.
const fn socket_kind(socket: &SocketFacts) -> Technique {
    const UNIX: u16 = 1;
    const INET: u16 = 2;
    const INET6: u16 = 10;
    const PACKET: u16 = 17;
    const DATAGRAM: u16 = 2;
    const RAW: u16 = 3;
    match (socket.family, socket.kind, socket.protocol) {
        (PACKET, _, _) => Technique::PacketSocket,
        (family, _, _) if family != UNIX && family != INET && family != INET6 => {
            Technique::OtherFamily
        }
        (_, RAW, _) => Technique::RawSocket,
        (_, DATAGRAM, 1 | 58) => Technique::PingSocket,
        (_, _, 132) => Technique::Sctp,
        (_, _, 136) => Technique::UdpLite,
        (_, _, 262) => Technique::Mptcp,
        _ => Technique::OtherProtocol,
    }
}

/// Numbers of `asm-generic/socket.h`, `linux/in.h` and `linux/in6.h`.
const fn option(socket: &SocketFacts) -> Technique {
    match (socket.option_level, socket.option_name) {
        // SO_BINDTODEVICE, SO_BINDTOIFINDEX
        (1, 25 | 62) => Technique::BoundDevice,
        // IP_OPTIONS; IPV6_2292PKTOPTIONS, IPV6_RTHDRDSTOPTS, IPV6_RTHDR
        (0, 4) | (41, 6 | 55 | 57) => Technique::SourceRoute,
        (0, 35..=48) | (41, 20 | 27 | 42..=48) => Technique::MulticastJoin,
        // IPV6_HOPOPTS, IPV6_DSTOPTS
        (41, 54 | 59) => Technique::IpOption,
        _ => Technique::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn socket(family: u16, kind: u16, protocol: u16) -> SocketFacts {
        SocketFacts {
            family,
            kind,
            protocol,
            port: 0,
            is_multicast: false,
            option_level: 0,
            option_name: 0,
        }
    }

    fn to(port: u16) -> SocketFacts {
        SocketFacts { port, ..socket(2, 2, 17) }
    }

    fn set(option_level: u16, option_name: u16) -> SocketFacts {
        SocketFacts { option_level, option_name, ..SocketFacts::default() }
    }

    #[test]
    fn the_technique_is_told_from_hook_refusal_and_socket() {
        let group = SocketFacts { is_multicast: true, ..to(5353) };
        let none = SocketFacts::default();
        let table = [
            (Hook::Sendmsg, Refusal::Datagram, to(443), Technique::Quic),
            (Hook::Sendmsg, Refusal::Datagram, to(9), Technique::Datagram),
            (Hook::Sendmsg, Refusal::Datagram, group, Technique::Multicast),
            (Hook::Connect, Refusal::Datagram, group, Technique::Multicast),
            (Hook::Connect, Refusal::Datagram, to(443), Technique::ConnectedDatagram),
            (Hook::Egress, Refusal::Datagram, to(443), Technique::ConnectedDatagram),
            (Hook::Egress, Refusal::Datagram, to(0), Technique::ConnectedDatagram),
            (Hook::Egress, Refusal::Device, socket(2, 0, 6), Technique::OtherDevice),
            (Hook::Ingress, Refusal::Device, socket(2, 0, 6), Technique::ListenerFromOutside),
            (Hook::Ingress, Refusal::Device, socket(2, 0, 17), Technique::DatagramFromOutside),
            (Hook::Connect, Refusal::Device, socket(2, 1, 6), Technique::BoundDevice),
            (Hook::SocketCreate, Refusal::Family, socket(16, 3, 0), Technique::OtherFamily),
            (Hook::SocketCreate, Refusal::Family, socket(17, 3, 0), Technique::PacketSocket),
            (Hook::SocketSend, Refusal::ForeignSocket, none, Technique::ForeignSocket),
            (Hook::FileReceive, Refusal::ForeignSocket, none, Technique::ForeignSocket),
            (Hook::UnixConnect, Refusal::Helper, socket(1, 0, 0), Technique::UnixHelper),
            (Hook::UnixSend, Refusal::Helper, socket(1, 0, 0), Technique::UnixHelper),
            (Hook::Ptrace, Refusal::OtherProcess, none, Technique::OtherProcess),
            (Hook::Bpf, Refusal::Programs, none, Technique::BpfCall),
            (Hook::Kill, Refusal::Daemon, none, Technique::DaemonSignal),
            (Hook::Unlink, Refusal::Pins, none, Technique::Pins),
            (Hook::Unmount, Refusal::Pins, none, Technique::Pins),
            (Hook::Egress, Refusal::Stranger, none, Technique::SharedPort),
            (Hook::Exec, Refusal::NoLabel, none, Technique::LabelShortage),
            (Hook::Admin, Refusal::Guarded, none, Technique::AdminApi),
            (Hook::Connect, Refusal::Namespace, none, Technique::NamespaceWithoutProxy),
            (Hook::Fork, Refusal::NoLabel, none, Technique::LabelShortage),
            (Hook::Connect, Refusal::NotReady, none, Technique::NotReady),
            (Hook::Door, Refusal::OriginUnknown, none, Technique::UnknownPeer),
            (Hook::Connect, Refusal::OwnPort, none, Technique::OwnPort),
            (Hook::Bind, Refusal::OwnPort, none, Technique::OwnPort),
            (Hook::Unknown, Refusal::Unknown, none, Technique::Unknown),
        ];
        for (hook, refusal, socket, expected) in table {
            assert_eq!(technique(hook, refusal, &socket), expected, "{hook:?} {refusal:?}");
        }
    }

    #[test]
    fn kinds_of_sockets_are_told_apart() {
        let table = [
            (socket(17, 3, 768), Technique::PacketSocket),
            (socket(17, 2, 0), Technique::PacketSocket),
            (socket(40, 1, 0), Technique::OtherFamily),
            (socket(43, 1, 0), Technique::OtherFamily),
            (socket(2, 3, 253), Technique::RawSocket),
            (socket(10, 3, 58), Technique::RawSocket),
            (socket(2, 2, 1), Technique::PingSocket),
            (socket(10, 2, 58), Technique::PingSocket),
            (socket(2, 1, 132), Technique::Sctp),
            (socket(10, 5, 132), Technique::Sctp),
            (socket(2, 2, 136), Technique::UdpLite),
            (socket(2, 1, 262), Technique::Mptcp),
            (socket(2, 2, 115), Technique::OtherProtocol),
        ];
        for (socket, expected) in table {
            let found = technique(Hook::SockCreate, Refusal::SocketKind, &socket);
            assert_eq!(found, expected, "{socket:?}");
        }
    }

    #[test]
    fn socket_options_are_told_apart() {
        let table = [
            (set(1, 25), Technique::BoundDevice),
            (set(0, 4), Technique::SourceRoute),
            (set(41, 57), Technique::SourceRoute),
            (set(0, 35), Technique::MulticastJoin),
            (set(41, 20), Technique::MulticastJoin),
            (set(41, 54), Technique::IpOption),
            (set(6, 1), Technique::Unknown),
        ];
        for (socket, expected) in table {
            let found = technique(Hook::Setsockopt, Refusal::SocketOption, &socket);
            assert_eq!(found, expected, "{socket:?}");
        }
    }

    #[test]
    fn a_word_is_what_is_stored() {
        for technique in [Technique::UdpLite, Technique::NamespaceWithoutProxy, Technique::Quic] {
            assert_eq!(serde_json::to_value(technique).unwrap(), technique.word());
        }
    }
}
