// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The eBPF programs: one entry point for each hook, each a call into the module that decides.
//!
//! Attached at the cgroup v2 root. A task that is not guarded leaves at the first map miss. Inside a
//! guarded path everything that is missing refuses.
#![no_std]
#![no_main]

mod address;
mod bind;
mod connect;
mod datagram;
mod egress;
mod event;
mod local;
mod lsm;
mod maps;
mod option;
mod process;
mod select;
mod socket;
mod task;
mod watch;

use aya_ebpf::macros::{
    btf_tracepoint, cgroup_skb, cgroup_sock, cgroup_sock_addr, cgroup_sockopt, lsm as hook,
};
use aya_ebpf::programs::{
    BtfTracePointContext, LsmContext, SkBuffContext, SockAddrContext, SockContext, SockoptContext,
};

use crate::address::Family;

#[cgroup_sock_addr(connect4)]
pub fn connect4(ctx: SockAddrContext) -> i32 {
    connect::connect(&ctx, Family::V4)
}

#[cgroup_sock_addr(connect6)]
pub fn connect6(ctx: SockAddrContext) -> i32 {
    connect::connect(&ctx, Family::V6)
}

#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(ctx: SockAddrContext) -> i32 {
    datagram::sendmsg(&ctx, Family::V4)
}

#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(ctx: SockAddrContext) -> i32 {
    datagram::sendmsg(&ctx, Family::V6)
}

#[cgroup_sock_addr(recvmsg4)]
pub fn recvmsg4(ctx: SockAddrContext) -> i32 {
    datagram::recvmsg(&ctx, Family::V4);
    connect::GO_ON
}

#[cgroup_sock_addr(recvmsg6)]
pub fn recvmsg6(ctx: SockAddrContext) -> i32 {
    datagram::recvmsg(&ctx, Family::V6);
    connect::GO_ON
}

#[cgroup_sock_addr(getpeername4)]
pub fn getpeername4(ctx: SockAddrContext) -> i32 {
    datagram::getpeername(&ctx, Family::V4);
    connect::GO_ON
}

#[cgroup_sock_addr(getpeername6)]
pub fn getpeername6(ctx: SockAddrContext) -> i32 {
    datagram::getpeername(&ctx, Family::V6);
    connect::GO_ON
}

#[cgroup_sock_addr(bind4)]
pub fn bind4(ctx: SockAddrContext) -> i32 {
    bind::bind(&ctx, Family::V4)
}

#[cgroup_sock_addr(bind6)]
pub fn bind6(ctx: SockAddrContext) -> i32 {
    bind::bind(&ctx, Family::V6)
}

#[cgroup_sockopt(setsockopt)]
pub fn setsockopt(ctx: SockoptContext) -> i32 {
    option::set(&ctx)
}

#[btf_tracepoint(function = "sched_process_fork")]
pub fn fork(ctx: BtfTracePointContext) -> i32 {
    process::fork(&ctx);
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn exec(_ctx: BtfTracePointContext) -> i32 {
    process::exec();
    0
}

#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn mkdir(ctx: BtfTracePointContext) -> i32 {
    select::mkdir(&ctx);
    0
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn exit(ctx: BtfTracePointContext) -> i32 {
    process::exit(&ctx);
    0
}

#[cgroup_sock(sock_create)]
pub fn sock_create(ctx: SockContext) -> i32 {
    socket::create(&ctx)
}

#[cgroup_skb(egress)]
pub fn egress(ctx: SkBuffContext) -> i32 {
    egress::packet(&ctx)
}

#[cgroup_skb(ingress)]
pub fn ingress(ctx: SkBuffContext) -> i32 {
    egress::arriving(&ctx)
}

#[hook(hook = "socket_create")]
pub fn socket_create(ctx: LsmContext) -> i32 {
    lsm::socket::create(&ctx)
}

#[hook(hook = "socket_post_create")]
pub fn socket_post_create(ctx: LsmContext) -> i32 {
    lsm::socket::post_create(&ctx)
}

#[hook(hook = "socket_sendmsg")]
pub fn socket_sendmsg(ctx: LsmContext) -> i32 {
    lsm::socket::send(&ctx)
}

#[hook(hook = "file_receive")]
pub fn file_receive(ctx: LsmContext) -> i32 {
    lsm::socket::receive(&ctx)
}

#[hook(hook = "unix_stream_connect")]
pub fn unix_stream_connect(ctx: LsmContext) -> i32 {
    lsm::unix::connect(&ctx)
}

#[hook(hook = "unix_may_send")]
pub fn unix_may_send(ctx: LsmContext) -> i32 {
    lsm::unix::send(&ctx)
}

#[hook(hook = "ptrace_access_check")]
pub fn ptrace_access_check(ctx: LsmContext) -> i32 {
    lsm::process::access(&ctx)
}

#[hook(hook = "bpf")]
pub fn bpf(_ctx: LsmContext) -> i32 {
    lsm::own::bpf()
}

#[hook(hook = "task_kill")]
pub fn task_kill(ctx: LsmContext) -> i32 {
    lsm::own::kill(&ctx)
}

#[hook(hook = "file_send_sigiotask")]
pub fn file_send_sigiotask(ctx: LsmContext) -> i32 {
    lsm::own::send_signal_of_file(&ctx)
}

#[hook(hook = "task_setrlimit")]
pub fn task_setrlimit(ctx: LsmContext) -> i32 {
    lsm::own::set_limit(&ctx)
}

#[hook(hook = "inode_unlink")]
pub fn inode_unlink(ctx: LsmContext) -> i32 {
    lsm::pin::change(&ctx)
}

#[hook(hook = "inode_rmdir")]
pub fn inode_rmdir(ctx: LsmContext) -> i32 {
    lsm::pin::change(&ctx)
}

#[hook(hook = "inode_rename")]
pub fn inode_rename(ctx: LsmContext) -> i32 {
    lsm::pin::change(&ctx)
}

#[hook(hook = "sb_umount")]
pub fn sb_umount(ctx: LsmContext) -> i32 {
    lsm::pin::unmount(&ctx)
}

/// Some helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
