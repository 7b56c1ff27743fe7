// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel refused, counted and written down.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use enforcer_common as common;
use enforcer_core::mask::Masker;
use enforcer_core::model::limits::WATCH_INTERVAL;
use enforcer_core::model::{Fault, SessionId};
use enforcer_core::record::{
    Hook, NetworkRefused, Process, Recorded, Refusal, Repeated, SocketFacts, technique,
};
use tokio::sync::{Notify, mpsc};

use crate::enforce::{self, Enforcer};
use crate::identity::Witness;
use crate::kernel::{Events, Kernel};
use crate::runtime::chain;

/// Who is told what is no refusal.
pub(super) struct Told {
    /// A process in a network namespace without a door; what finds no room asks again by its next attempt.
    pub(super) wanted: mpsc::Sender<u32>,
    /// A session began by a selector.
    pub(super) begun: Arc<Notify>,
}

impl Told {
    /// Passes on what an event says besides a refusal; true if it says no more than that.
    fn is_all(&self, event: &common::Event) -> bool {
        let is_notice = event.refusal == common::NOTHING_REFUSED;
        if is_notice && common::Hook::try_from(event.hook) == Ok(common::Hook::Exec) {
            self.begun.notify_one();
        } else if is_notice
            || common::Refusal::try_from(event.refusal) == Ok(common::Refusal::Namespace)
        {
            // A full queue is emptied by the sweep.
            let _full = self.wanted.try_send(event.tgid);
        }
        is_notice
    }
}

/// Records what was refused for as long as the daemon runs, and passes on what was not. A ring that cannot be
/// read is told, and opened again.
pub(super) async fn serve(mut events: Events, kernel: Arc<Kernel>, cx: Arc<Enforcer>, told: Told) {
    loop {
        let error = read(&mut events, &cx, &told).await;
        cx.alarms.raise(Fault::KernelEvents, chain(&error));
        events = reopened(&kernel, &cx).await;
        cx.alarms.shows(Fault::KernelEvents, format!("reading goes on after: {}", chain(&error)));
    }
}

async fn reopened(kernel: &Kernel, cx: &Enforcer) -> Events {
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        match kernel.events() {
            Ok(events) => return events,
            Err(error) => cx.alarms.raise(Fault::KernelEvents, chain(&error)),
        }
    }
}

/// Records events until the ring cannot be read any more; returns why.
async fn read(events: &mut Events, cx: &Enforcer, told: &Told) -> crate::kernel::Error {
    loop {
        let event = match events.next().await {
            Ok(event) => event,
            Err(error) => return error,
        };
        if told.is_all(&event) {
            continue;
        }
        let refused = refused(&event, &cx.policy.load().masker_of_everything());
        tracing::debug!(
            session = %SessionId::from_u64(event.session), hook = %refused.hook,
            refusal = %refused.refusal, technique = refused.technique.word(),
            pid = refused.process.pid, comm = ?refused.process.comm,
            destination = refused.destination.as_deref().unwrap_or("-"),
            socket = %refused.socket, "refused in the kernel"
        );
        if common::Refusal::try_from(event.refusal) == Ok(common::Refusal::NoLabel) {
            let most = common::capacity::PROCESSES;
            cx.alarms.shows(Fault::Labels, format!("{most} guarded processes are known already"));
        }
        let witness = Some(Witness::SeenAt(event.at_boot_ns));
        enforce::network_refused(cx, SessionId::from_u64(event.session), refused, witness);
    }
}

fn refused(event: &common::Event, masker: &Masker) -> NetworkRefused {
    let comm = event.comm.iter().copied().take_while(|byte| *byte != 0).collect::<Vec<u8>>();
    let recorded = |text: &str| Recorded::of(text, masker);
    let comm = recorded(&String::from_utf8_lossy(&comm));
    let ip = IpAddr::V6(Ipv6Addr::from(event.address)).to_canonical();
    let has_destination = event.port != 0 || !ip.is_unspecified();
    let (hook, refusal) = (hook(event.hook), refusal(event.refusal));
    let facts = SocketFacts {
        family: event.family,
        kind: event.socket_type,
        protocol: event.protocol,
        port: event.port,
        is_multicast: ip.is_multicast(),
        option_level: event.option_level,
        option_name: event.option_name,
    };
    NetworkRefused {
        process: Process::new(event.tgid, event.uid, comm),
        hook: hook.word().into(),
        refusal: refusal.word().into(),
        technique: technique(hook, refusal, &facts),
        destination: has_destination
            .then(|| recorded(&SocketAddr::new(ip, event.port).to_string())),
        socket: recorded(&format!(
            "{}/{}/{}",
            family(event.family),
            socket_type(event.socket_type),
            event.protocol
        )),
        repeated: Repeated::ONCE,
    }
}

fn hook(number: u32) -> Hook {
    match common::Hook::try_from(number) {
        Ok(common::Hook::Connect) => Hook::Connect,
        Ok(common::Hook::Sendmsg) => Hook::Sendmsg,
        Ok(common::Hook::SockCreate) => Hook::SockCreate,
        Ok(common::Hook::Egress) => Hook::Egress,
        Ok(common::Hook::Setsockopt) => Hook::Setsockopt,
        Ok(common::Hook::Bind) => Hook::Bind,
        Ok(common::Hook::Fork) => Hook::Fork,
        Ok(common::Hook::Exec) => Hook::Exec,
        Ok(common::Hook::Ingress) => Hook::Ingress,
        Ok(common::Hook::SocketCreate) => Hook::SocketCreate,
        Ok(common::Hook::SocketSend) => Hook::SocketSend,
        Ok(common::Hook::FileReceive) => Hook::FileReceive,
        Ok(common::Hook::UnixConnect) => Hook::UnixConnect,
        Ok(common::Hook::UnixSend) => Hook::UnixSend,
        Ok(common::Hook::Ptrace) => Hook::Ptrace,
        Ok(common::Hook::Bpf) => Hook::Bpf,
        Ok(common::Hook::Kill) => Hook::Kill,
        Ok(common::Hook::Unlink) => Hook::Unlink,
        Ok(common::Hook::Unmount) => Hook::Unmount,
        Err(_) => Hook::Unknown,
    }
}

fn refusal(number: u32) -> Refusal {
    match common::Refusal::try_from(number) {
        Ok(common::Refusal::Datagram) => Refusal::Datagram,
        Ok(common::Refusal::SocketKind) => Refusal::SocketKind,
        Ok(common::Refusal::Device) => Refusal::Device,
        Ok(common::Refusal::OwnPort) => Refusal::OwnPort,
        Ok(common::Refusal::Namespace) => Refusal::Namespace,
        Ok(common::Refusal::NotReady) => Refusal::NotReady,
        Ok(common::Refusal::SocketOption) => Refusal::SocketOption,
        Ok(common::Refusal::NoLabel) => Refusal::NoLabel,
        Ok(common::Refusal::Stranger) => Refusal::Stranger,
        Ok(common::Refusal::Family) => Refusal::Family,
        Ok(common::Refusal::ForeignSocket) => Refusal::ForeignSocket,
        Ok(common::Refusal::Helper) => Refusal::Helper,
        Ok(common::Refusal::OtherProcess) => Refusal::OtherProcess,
        Ok(common::Refusal::Programs) => Refusal::Programs,
        Ok(common::Refusal::Daemon) => Refusal::Daemon,
        Ok(common::Refusal::Pins) => Refusal::Pins,
        Err(_) => Refusal::Unknown,
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

#[cfg(test)]
mod tests {
    use enforcer_core::mask::{Builtin, DetectorKind, DetectorSpec, Style};
    use enforcer_core::model::DetectorName;

    use super::*;

    #[test]
    fn the_name_that_a_process_gave_itself_passes_the_masks() {
        let kind = DetectorKind::Builtin(Builtin::EMAIL);
        let spec = DetectorSpec { name: DetectorName::new("email"), kind };
        let masker = Masker::new(vec![(spec, Style::Label)]).unwrap();
        let mut comm = [0; 16];
        comm[..13].copy_from_slice(b"z@example.com");
        let event = common::Event { comm, ..common::Event::default() };
        let refused = refused(&event, &masker);
        assert_eq!(refused.process.comm, "[email]");
    }
}
