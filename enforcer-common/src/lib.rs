// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The contract between the eBPF programs and the daemon.
//!
//! Map and program names, keys, values and verdict codes stand here once and are compiled into both
//! sides. Layouts are `#[repr(C)]` with fixed widths and explicit padding, because the kernel compares
//! keys byte by byte. Nothing in here decides anything about policy.
#![no_std]

mod select;
mod watch;

pub use select::{
    CGROUP_NAME_BYTES, CgroupName, FileId, PLACE_LEVELS, Selector, SessionStart, key,
};
pub use watch::{EndpointKey, NANOSECONDS_IN_TICK, Watch, capture};

/// Version of every layout below; it is part of the pin path, so that two generations never share a map.
pub const ABI_VERSION: u32 = 1;

/// Depth below the attach cgroup at which a session's cgroup stands: `<cgroup>/enforcer/<session>`.
pub const SESSION_DEPTH_BELOW_ATTACH: u32 = 2;

/// Folder below the attach cgroup that holds one cgroup for each session.
pub const SESSIONS_CGROUP: &str = "enforcer";

pub mod capacity;
pub mod map;
pub mod program;

/// What the programs need to know about this kernel and this daemon.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Absolute cgroup v2 level of the session cgroups (root is 0).
    pub session_level: u32,
    /// Offset of `tgid` in `struct task_struct`, from the kernel's BTF; so are those below.
    pub task_tgid: u32,
    /// Offset of `pid` in `struct task_struct`.
    pub task_pid: u32,
    /// Offset of `real_parent` in `struct task_struct`.
    pub task_real_parent: u32,
    /// Offset of `group_leader` in `struct task_struct`.
    pub task_group_leader: u32,
    /// Offset of `start_boottime` in `struct task_struct`.
    pub task_start_boottime: u32,
    /// Offset of `signal` in `struct task_struct`.
    pub task_signal: u32,
    /// Offset of `live` in `struct signal_struct`.
    pub signal_live: u32,
    /// Offset of `mm` in `struct task_struct`.
    pub task_mm: u32,
    /// Offset of `exe_file` in `struct mm_struct`.
    pub mm_exe_file: u32,
    /// Offset of `f_inode` in `struct file`.
    pub file_inode: u32,
    /// Offset of `i_ino` in `struct inode`.
    pub inode_number: u32,
    /// Offset of `i_sb` in `struct inode`.
    pub inode_super: u32,
    /// Offset of `s_dev` in `struct super_block`.
    pub super_device: u32,
    /// Offset of `kn` in `struct cgroup`.
    pub cgroup_node: u32,
    /// Offset of `root` in `struct cgroup`.
    pub cgroup_root: u32,
    /// Offset of `hierarchy_id` in `struct cgroup_root`.
    pub root_hierarchy: u32,
    /// Offset of `id` in `struct kernfs_node`.
    pub node_id: u32,
    /// Offset of `name` in `struct kernfs_node`.
    pub node_name: u32,
    /// Unused.
    pub padding: u32,
    /// Id of the cgroup that the programs attach to: what is not below it becomes no agent.
    pub attach_cgroup: u64,
    /// When the host booted, in milliseconds since the Unix epoch; session ids begin with a time.
    pub booted_unix_ms: u64,
}

impl Settings {
    /// All zeros.
    pub const NONE: Self = Self {
        session_level: 0,
        task_tgid: 0,
        task_pid: 0,
        task_real_parent: 0,
        task_group_leader: 0,
        task_start_boottime: 0,
        task_signal: 0,
        signal_live: 0,
        task_mm: 0,
        mm_exe_file: 0,
        file_inode: 0,
        inode_number: 0,
        inode_super: 0,
        super_device: 0,
        cgroup_node: 0,
        cgroup_root: 0,
        root_hierarchy: 0,
        node_id: 0,
        node_name: 0,
        padding: 0,
        attach_cgroup: 0,
        booted_unix_ms: 0,
    };
}

/// Longest path of a Unix socket, in bytes: `sun_path` of `struct sockaddr_un`.
pub const UNIX_PATH_BYTES: usize = 108;

/// What the programs of the hardened tier need to know besides.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hardening {
    /// Process id (thread group) of the daemon, in the initial namespace.
    pub daemon: u32,
    /// Device of the file system of the pins, as the kernel writes it: major number times 2^20, plus minor.
    pub pins_device: u32,
    /// Offset of `file` in `struct socket`, from the kernel's BTF; so are those below.
    pub socket_file: u32,
    /// Offset of `skc_family` in `struct sock_common`, which is the head of `struct sock`.
    pub sock_family: u32,
    /// Offset of `i_sb` in `struct inode`.
    pub inode_super: u32,
    /// Offset of `s_dev` in `struct super_block`.
    pub super_device: u32,
    /// Offset of `mnt_sb` in `struct vfsmount`.
    pub mount_super: u32,
    /// Offset of `mnt`, the `struct vfsmount`, in `struct mount`; those that follow are of `struct mount`, too.
    pub mount_vfs: u32,
    /// Offset of `mnt_parent`.
    pub mount_parent: u32,
    /// Offset of `mnt_mounts`, the head of the list of what is mounted on it.
    pub mount_children: u32,
    /// Offset of `mnt_child`, the place in the list of its parent.
    pub mount_sibling: u32,
    /// Offset of `mnt_group_id`, which is zero for what is not shared.
    pub mount_peers: u32,
    /// Offset of `mnt_ns`.
    pub mount_namespace: u32,
    /// Offset of the number of a `struct mnt_namespace`.
    pub namespace_number: u32,
    /// Number of the mount namespace of the daemon.
    pub namespace: u32,
    /// Offset of `addr` in `struct unix_sock`.
    pub unix_address: u32,
    /// Offset of the path in `struct unix_address`.
    pub address_path: u32,
}

/// Where the daemon listens in one network namespace, on 127.0.0.1 and ::1. Without one every guarded
/// connect in that namespace is refused.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// TCP port of the proxy, host byte order.
    pub proxy_port: u16,
    /// First UDP port of the resolver, host byte order; it listens on [`RESOLVER_PORTS`] from there on.
    pub resolver_port: u16,
}

impl Door {
    /// Which of the resolver's ports this is; none when it is not one of them.
    #[must_use]
    #[inline]
    pub const fn resolver_index(&self, port: u16) -> Option<u16> {
        let index = port.wrapping_sub(self.resolver_port);
        if index < RESOLVER_PORTS { Some(index) } else { None }
    }

    /// True for the proxy's port and the resolver's.
    #[must_use]
    #[inline]
    pub const fn has_port(&self, port: u16) -> bool {
        port == self.proxy_port || self.resolver_index(port).is_some()
    }
}

/// Name servers that one unconnected socket may ask at the same time. Each goes to a port of its own, so that
/// an answer appears to come from the server that was asked.
pub const RESOLVER_PORTS: u16 = 4;

/// One name server that a socket asked.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Its address, as in [`OriginKey::address`].
    pub address: [u8; 16],
    /// Its port, host byte order; zero while the place is free.
    pub port: u16,
    /// Always zero.
    pub padding: [u16; 3],
}

/// The name servers that a socket asked, each at the index of the resolver's port that it went to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// The place that a further server takes.
    pub next: u32,
    /// Always zero.
    pub padding: u32,
    /// The servers.
    pub list: [Server; RESOLVER_PORTS as usize],
}

/// The session of a guarded process that has a mark but found no room for its label. It is the journal's
/// session of the host.
pub const NO_SESSION: u64 = 0;

/// Which session a guarded process belongs to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessLabel {
    /// Session id.
    pub session: u64,
    /// How much of its egress is taken, one of [`capture`].
    pub capture: u32,
    /// Always zero.
    pub padding: u32,
}

/// Who made a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketLabel {
    /// Session id.
    pub session: u64,
    /// Process id (thread group) in the initial namespace.
    pub tgid: u32,
    /// Effective user id in the initial namespace.
    pub uid: u32,
    /// Command name of the thread, padded with zero bytes.
    pub comm: [u8; 16],
}

/// Longest agent name that a label carries, in bytes.
pub const AGENT_NAME_BYTES: usize = 56;

/// Who a guarded cgroup is. The daemon rebuilds its sessions from these after a crash.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Session id (see `enforcer_core::model::SessionId`).
    pub session: u64,
    /// Agent name, UTF-8, padded with zero bytes.
    pub agent: [u8; AGENT_NAME_BYTES],
}

/// Where a redirected flow comes from: the key under which the proxy finds the origin of a peer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginKey {
    /// Cookie of the network namespace of the flow.
    pub netns: u64,
    /// Source address as IPv6; IPv4 is stored mapped (`::ffff:a.b.c.d`), in network byte order.
    pub address: [u8; 16],
    /// Source port, host byte order.
    pub port: u16,
    /// [`PROTOCOL_TCP`] or [`PROTOCOL_UDP`].
    pub protocol: u16,
    /// TCP: the sequence number of the client's SYN, which tells a connection from a later one of the same
    /// port. UDP: zero.
    pub sequence: u32,
}

/// Ancestors of a process that an origin names.
pub const ANCESTORS: usize = 4;

/// What the kernel knew when a guarded process connected. Of a datagram socket with another port than 53 nothing
/// was redirected: it is connected to that address and never sends.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Session id from the label.
    pub session: u64,
    /// Cookie of the client socket.
    pub cookie: u64,
    /// Cookie of the network namespace of the flow.
    pub netns: u64,
    /// When the process started, in nanoseconds since boot; with its id it names it for good.
    pub started: u64,
    /// Id of the cgroup it was in.
    pub cgroup: u64,
    /// Its program.
    pub exe: FileId,
    /// Original destination, as in [`OriginKey::address`].
    pub address: [u8; 16],
    /// Process id (thread group) in the initial namespace.
    pub tgid: u32,
    /// Effective user id in the initial namespace.
    pub uid: u32,
    /// Process ids of its ancestors in the initial namespace, the parent first; zero where there is none.
    pub ancestors: [u32; ANCESTORS],
    /// Original port, host byte order.
    pub port: u16,
    /// [`PROTOCOL_TCP`] or [`PROTOCOL_UDP`].
    pub protocol: u16,
    /// How much of the process's egress is taken, one of [`capture`].
    pub capture: u32,
    /// Command name of the thread, padded with zero bytes.
    pub comm: [u8; 16],
}

/// `IPPROTO_TCP`.
pub const PROTOCOL_TCP: u16 = 6;
/// `IPPROTO_UDP`.
pub const PROTOCOL_UDP: u16 = 17;

/// Which program saw an attempt. Numbers are part of the ABI and never reused.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `cgroup/connect4` and `connect6`.
    Connect = 1,
    /// `cgroup/sendmsg4` and `sendmsg6`.
    Sendmsg = 2,
    /// `cgroup/sock_create`.
    SockCreate = 3,
    /// `cgroup_skb/egress`.
    Egress = 4,
    /// `cgroup/setsockopt`.
    Setsockopt = 5,
    /// `cgroup/bind4` and `bind6`.
    Bind = 6,
    /// `tp_btf/sched_process_fork`.
    Fork = 7,
    /// `tp_btf/sched_process_exec`.
    Exec = 8,
    /// `cgroup_skb/ingress`; the address of such an event is the sender's.
    Ingress = 9,
    /// LSM `socket_create` and `socket_post_create`.
    SocketCreate = 10,
    /// LSM `socket_sendmsg`.
    SocketSend = 11,
    /// LSM `file_receive`.
    FileReceive = 12,
    /// LSM `unix_stream_connect`.
    UnixConnect = 13,
    /// LSM `unix_may_send`.
    UnixSend = 14,
    /// LSM `ptrace_access_check`.
    Ptrace = 15,
    /// LSM `bpf`.
    Bpf = 16,
    /// LSM `task_kill`.
    Kill = 17,
    /// LSM `inode_unlink`, `inode_rmdir` and `inode_rename`.
    Unlink = 18,
    /// LSM `sb_umount`.
    Unmount = 19,
}

/// In place of a [`Refusal`], what the daemon should know: by [`Hook::SockCreate`] that a socket was made in a
/// network namespace without a door, which is asked for; by [`Hook::Exec`] that a process became an agent.
pub const NOTHING_REFUSED: u32 = 0;

/// Why the kernel refused. Numbers are part of the ABI and never reused.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A datagram that is not a DNS query to port 53; by [`Hook::Egress`], one sent over a connected socket.
    Datagram = 1,
    /// A socket type or protocol outside the allow-list (raw, SCTP, MPTCP, ping, UDP-Lite, …).
    SocketKind = 2,
    /// A packet of a guarded socket on a device other than loopback.
    Device = 3,
    /// A connect straight to the proxy's or the resolver's own port.
    OwnPort = 4,
    /// A connect from a network namespace in which no proxy listens.
    Namespace = 5,
    /// The programs have no settings, or no memory for the origin: closed by default.
    NotReady = 6,
    /// A socket option that leads past the redirect, or makes the kernel send by itself.
    SocketOption = 7,
    /// There was no room for the label of a guarded process: it is refused everything.
    NoLabel = 8,
    /// A connect to a listener of the same session that would reach somebody else's on the same port.
    Stranger = 9,
    /// A socket of a family outside the allow-list.
    Family = 10,
    /// An internet socket that the session did not make.
    ForeignSocket = 11,
    /// A Unix socket behind which an unguarded process, or another session, answers.
    Helper = 12,
    /// The memory or the descriptors of a process outside the session.
    OtherProcess = 13,
    /// A call of bpf(2).
    Programs = 14,
    /// A signal to the daemon.
    Daemon = 15,
    /// The pins, or the file system they are on.
    Pins = 16,
}

/// One refused attempt, as put on the ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `bpf_ktime_get_boot_ns`.
    pub at_boot_ns: u64,
    /// Session id from the label.
    pub session: u64,
    /// A [`Hook`].
    pub hook: u32,
    /// A [`Refusal`].
    pub refusal: u32,
    /// Process id (thread group); zero where no task is current.
    pub tgid: u32,
    /// Effective user id; zero where no task is current.
    pub uid: u32,
    /// Destination, as in [`OriginKey::address`]; zero where there is none.
    pub address: [u8; 16],
    /// Destination port, host byte order; zero where there is none.
    pub port: u16,
    /// Address family of the socket (`AF_*`).
    pub family: u16,
    /// Socket type (`SOCK_*`).
    pub socket_type: u16,
    /// IP protocol number (MPTCP's 262 fits).
    pub protocol: u16,
    /// Level of a refused socket option; zero where there is none.
    pub option_level: u16,
    /// Name of a refused socket option; zero where there is none.
    pub option_name: u16,
    /// Always zero.
    pub padding: u32,
    /// Command name of the thread, padded with zero bytes.
    pub comm: [u8; 16],
}

impl TryFrom<u32> for Hook {
    type Error = u32;
    fn try_from(value: u32) -> Result<Self, u32> {
        match value {
            1 => Ok(Self::Connect),
            2 => Ok(Self::Sendmsg),
            3 => Ok(Self::SockCreate),
            4 => Ok(Self::Egress),
            5 => Ok(Self::Setsockopt),
            6 => Ok(Self::Bind),
            7 => Ok(Self::Fork),
            8 => Ok(Self::Exec),
            9 => Ok(Self::Ingress),
            10 => Ok(Self::SocketCreate),
            11 => Ok(Self::SocketSend),
            12 => Ok(Self::FileReceive),
            13 => Ok(Self::UnixConnect),
            14 => Ok(Self::UnixSend),
            15 => Ok(Self::Ptrace),
            16 => Ok(Self::Bpf),
            17 => Ok(Self::Kill),
            18 => Ok(Self::Unlink),
            19 => Ok(Self::Unmount),
            other => Err(other),
        }
    }
}

impl TryFrom<u32> for Refusal {
    type Error = u32;
    fn try_from(value: u32) -> Result<Self, u32> {
        match value {
            1 => Ok(Self::Datagram),
            2 => Ok(Self::SocketKind),
            3 => Ok(Self::Device),
            4 => Ok(Self::OwnPort),
            5 => Ok(Self::Namespace),
            6 => Ok(Self::NotReady),
            7 => Ok(Self::SocketOption),
            8 => Ok(Self::NoLabel),
            9 => Ok(Self::Stranger),
            10 => Ok(Self::Family),
            11 => Ok(Self::ForeignSocket),
            12 => Ok(Self::Helper),
            13 => Ok(Self::OtherProcess),
            14 => Ok(Self::Programs),
            15 => Ok(Self::Daemon),
            16 => Ok(Self::Pins),
            other => Err(other),
        }
    }
}

/// Writes an IPv4 address (network byte order) in its mapped form.
#[must_use]
#[inline]
pub const fn mapped_v4(address: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = address;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

const _: () = assert!(size_of::<Settings>() == 96);
const _: () = assert!(size_of::<Hardening>() == 68);
const _: () = assert!(size_of::<Door>() == 4);
const _: () = assert!(size_of::<Servers>() == 104);
const _: () = assert!(size_of::<Label>() == 64);
const _: () = assert!(size_of::<ProcessLabel>() == 16);
const _: () = assert!(size_of::<SocketLabel>() == 32);
const _: () = assert!(size_of::<OriginKey>() == 32);
const _: () = assert!(size_of::<Origin>() == 120);
const _: () = assert!(size_of::<Event>() == 80);

#[cfg(feature = "user")]
#[expect(unsafe_code, reason = "the shared layouts are plain bytes on both sides")]
mod pod {
    // SAFETY: `repr(C)`, only integers and byte arrays, no implicit padding (asserted by size above).
    unsafe impl aya::Pod for super::Settings {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Selector {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::CgroupName {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::EndpointKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Watch {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::SessionStart {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::SocketLabel {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Hardening {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Door {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::ProcessLabel {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Label {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::OriginKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Origin {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Event {}
}
