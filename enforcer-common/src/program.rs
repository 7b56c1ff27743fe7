// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of the programs, as they appear in the object and as pin file names of their links.

/// `cgroup/connect4`: redirects TCP, sends DNS to the resolver, marks other UDP as not to send.
pub const CONNECT4: &str = "connect4";
/// `cgroup/connect6`: the same for IPv6 and mapped IPv4.
pub const CONNECT6: &str = "connect6";
/// `cgroup/sendmsg4`: unconnected UDP.
pub const SENDMSG4: &str = "sendmsg4";
/// `cgroup/sendmsg6`: unconnected UDP.
pub const SENDMSG6: &str = "sendmsg6";
/// `cgroup/recvmsg4`: answers of the resolver appear to come from the server that was asked.
pub const RECVMSG4: &str = "recvmsg4";
/// `cgroup/recvmsg6`: the same for IPv6 and mapped IPv4.
pub const RECVMSG6: &str = "recvmsg6";
/// `cgroup/getpeername4`: hides the redirect.
pub const GETPEERNAME4: &str = "getpeername4";
/// `cgroup/getpeername6`: hides the redirect.
pub const GETPEERNAME6: &str = "getpeername6";
/// `cgroup/sock_create`: the allow-list of socket kinds.
pub const SOCK_CREATE: &str = "sock_create";
/// `cgroup_skb/egress`: what is not on the loopback device does not leave, nor does what a connected datagram socket
/// sends, except name queries; hands the original destination over to
/// the proxy.
pub const EGRESS: &str = "egress";
/// `cgroup_skb/ingress`: nobody outside reaches a guarded socket.
pub const INGRESS: &str = "ingress";
/// `cgroup/setsockopt`: options that lead past the redirect or make the kernel send by itself.
pub const SETSOCKOPT: &str = "setsockopt";
/// `cgroup/bind4`: nobody guarded takes the place of the proxy or the resolver.
pub const BIND4: &str = "bind4";
/// `cgroup/bind6`: the same for IPv6 and mapped IPv4.
pub const BIND6: &str = "bind6";
/// `tp_btf/sched_process_fork`: a child is labeled before it runs.
pub const FORK: &str = "fork";
/// `tp_btf/sched_process_exec`: a process that a selector describes becomes an agent; one in a session's
/// cgroup keeps its label when it is moved out.
pub const EXEC: &str = "exec";
/// `tp_btf/sched_process_exit`: the label goes with the last thread.
pub const EXIT: &str = "exit";
/// `tp_btf/cgroup_mkdir`: remembers the cgroups that selectors name.
pub const MKDIR: &str = "mkdir";

/// Every program, in the order in which they are attached: first what only refuses or hides, then
/// what redirects, so that no moment exists in which a redirect has no backstop.
pub const ALL: [&str; 18] = [
    EXIT,
    FORK,
    MKDIR,
    EXEC,
    EGRESS,
    INGRESS,
    SETSOCKOPT,
    BIND4,
    BIND6,
    SOCK_CREATE,
    GETPEERNAME4,
    GETPEERNAME6,
    RECVMSG4,
    RECVMSG6,
    SENDMSG4,
    SENDMSG6,
    CONNECT4,
    CONNECT6,
];

/// LSM `socket_post_create`: Unix sockets are labeled.
pub const SOCKET_POST_CREATE: &str = "socket_post_create";
/// LSM `socket_create`: families other than Unix, internet and netlink are refused.
pub const SOCKET_CREATE: &str = "socket_create";
/// LSM `socket_sendmsg`: nothing is sent on an internet socket that the session did not make.
pub const SOCKET_SENDMSG: &str = "socket_sendmsg";
/// LSM `file_receive`: nor is such a socket received.
pub const FILE_RECEIVE: &str = "file_receive";
/// LSM `unix_stream_connect`: no helper behind a Unix socket.
pub const UNIX_STREAM_CONNECT: &str = "unix_stream_connect";
/// LSM `unix_may_send`: the same for datagrams.
pub const UNIX_MAY_SEND: &str = "unix_may_send";
/// LSM `ptrace_access_check`: no other process is written to or robbed of a descriptor.
pub const PTRACE_ACCESS_CHECK: &str = "ptrace_access_check";
/// LSM `bpf`: no call of bpf(2).
pub const BPF: &str = "bpf";
/// LSM `task_kill`: no signal to the daemon.
pub const TASK_KILL: &str = "task_kill";
/// LSM `file_send_sigiotask`: nor one that a descriptor sends.
pub const FILE_SEND_SIGIOTASK: &str = "file_send_sigiotask";
/// LSM `task_setrlimit`: no limit of the daemon is changed.
pub const TASK_SETRLIMIT: &str = "task_setrlimit";
/// LSM `inode_unlink`: the pins stay.
pub const INODE_UNLINK: &str = "inode_unlink";
/// LSM `inode_rmdir`: their folders stay.
pub const INODE_RMDIR: &str = "inode_rmdir";
/// LSM `inode_rename`: they keep their names.
pub const INODE_RENAME: &str = "inode_rename";
/// LSM `sb_umount`: their file system stays, also when what it is mounted below goes.
pub const SB_UMOUNT: &str = "sb_umount";

/// The programs of the hardened tier, in the order in which they are attached: each is named as its hook.
/// They are attached all or not at all.
pub const HARDENED: [&str; 15] = [
    SOCKET_POST_CREATE,
    SOCKET_CREATE,
    SOCKET_SENDMSG,
    FILE_RECEIVE,
    UNIX_STREAM_CONNECT,
    UNIX_MAY_SEND,
    PTRACE_ACCESS_CHECK,
    BPF,
    TASK_KILL,
    FILE_SEND_SIGIOTASK,
    TASK_SETRLIMIT,
    INODE_UNLINK,
    INODE_RMDIR,
    INODE_RENAME,
    SB_UMOUNT,
];
