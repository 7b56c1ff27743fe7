// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel refused, written down.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use enforcer_common::{Event, Hook, NOTHING_REFUSED, Refusal};
use enforcer_core::model::SessionId;
use enforcer_core::record::{EventBody, NetworkRefused, Process};
use tokio::sync::{Notify, mpsc};

use crate::enforce::Enforcer;
use crate::kernel::Events;

/// Who is told what is no refusal.
pub(super) struct Told {
    /// A process in a network namespace without a door; what finds no room asks again by its next attempt.
    pub(super) wanted: mpsc::Sender<u32>,
    /// A session began by a selector.
    pub(super) begun: Arc<Notify>,
}

/// Records what was refused until the ring cannot be read any more, and passes on what was not.
pub(super) async fn serve(mut events: Events, cx: Arc<Enforcer>, told: Told) {
    loop {
        match events.next().await {
            Ok(event)
                if event.refusal == NOTHING_REFUSED
                    && Hook::try_from(event.hook) == Ok(Hook::Exec) =>
            {
                told.begun.notify_one();
            }
            Ok(event) => {
                let is_notice = event.refusal == NOTHING_REFUSED;
                if is_notice || Refusal::try_from(event.refusal) == Ok(Refusal::Namespace) {
                    // A full queue is emptied by the sweep.
                    let _full = told.wanted.try_send(event.tgid);
                }
                if is_notice {
                    continue;
                }
                let session = SessionId::from_u64(event.session);
                let refused = refused(&event);
                tracing::info!(
                    %session, hook = refused.hook, refusal = refused.refusal,
                    pid = refused.process.pid, comm = ?refused.process.comm,
                    destination = refused.destination.as_deref().unwrap_or("-"),
                    socket = refused.socket, "refused in the kernel"
                );
                let body = EventBody::NetworkRefused(refused);
                cx.journal.append_or_count(session, cx.clock.now(), body);
            }
            Err(error) => {
                tracing::error!(%error, "kernel events cannot be read; refusals are counted only");
                return;
            }
        }
    }
}

fn refused(event: &Event) -> NetworkRefused {
    let comm = event.comm.iter().copied().take_while(|byte| *byte != 0).collect::<Vec<u8>>();
    let comm = String::from_utf8_lossy(&comm).into_owned();
    let ip = IpAddr::V6(Ipv6Addr::from(event.address)).to_canonical();
    let has_destination = event.port != 0 || !ip.is_unspecified();
    NetworkRefused {
        process: Process::new(event.tgid, event.uid, comm),
        hook: hook(event.hook).to_owned(),
        refusal: refusal(event.refusal).to_owned(),
        destination: has_destination.then(|| SocketAddr::new(ip, event.port).to_string()),
        socket: format!(
            "{}/{}/{}",
            family(event.family),
            socket_type(event.socket_type),
            event.protocol
        ),
    }
}

fn hook(number: u32) -> &'static str {
    match Hook::try_from(number) {
        Ok(Hook::Connect) => "connect",
        Ok(Hook::Sendmsg) => "sendmsg",
        Ok(Hook::SockCreate) => "sock_create",
        Ok(Hook::Egress) => "egress",
        Ok(Hook::Setsockopt) => "setsockopt",
        Ok(Hook::Bind) => "bind",
        Ok(Hook::Fork) => "fork",
        Ok(Hook::Exec) => "exec",
        Ok(Hook::Ingress) => "ingress",
        Ok(Hook::SocketCreate) => "socket_create",
        Ok(Hook::SocketSend) => "socket_sendmsg",
        Ok(Hook::FileReceive) => "file_receive",
        Ok(Hook::UnixConnect) => "unix_stream_connect",
        Ok(Hook::UnixSend) => "unix_may_send",
        Ok(Hook::Ptrace) => "ptrace_access_check",
        Ok(Hook::Bpf) => "bpf",
        Ok(Hook::Kill) => "task_kill",
        Ok(Hook::Unlink) => "inode_unlink",
        Ok(Hook::Unmount) => "sb_umount",
        Err(_) => "unknown",
    }
}

fn refusal(number: u32) -> &'static str {
    match Refusal::try_from(number) {
        Ok(Refusal::Datagram) => "datagram",
        Ok(Refusal::SocketKind) => "socket_kind",
        Ok(Refusal::Device) => "device",
        Ok(Refusal::OwnPort) => "own_port",
        Ok(Refusal::Namespace) => "namespace",
        Ok(Refusal::NotReady) => "not_ready",
        Ok(Refusal::SocketOption) => "socket_option",
        Ok(Refusal::NoLabel) => "no_label",
        Ok(Refusal::Stranger) => "stranger",
        Ok(Refusal::Family) => "family",
        Ok(Refusal::ForeignSocket) => "foreign_socket",
        Ok(Refusal::Helper) => "helper",
        Ok(Refusal::OtherProcess) => "other_process",
        Ok(Refusal::Programs) => "programs",
        Ok(Refusal::Daemon) => "daemon",
        Ok(Refusal::Pins) => "pins",
        Err(_) => "unknown",
    }
}

fn family(number: u16) -> String {
    match i32::from(number) {
        libc::AF_INET => "inet".to_owned(),
        libc::AF_INET6 => "inet6".to_owned(),
        other => format!("family-{other}"),
    }
}

fn socket_type(number: u16) -> String {
    match i32::from(number) {
        libc::SOCK_STREAM => "stream".to_owned(),
        libc::SOCK_DGRAM => "dgram".to_owned(),
        libc::SOCK_RAW => "raw".to_owned(),
        other => format!("type-{other}"),
    }
}
