// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The outside world: the far end of a veth pair, in a namespace of its own, where every frame is seen.

use std::cell::Cell;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};
use nix::unistd::gettid;

use crate::lab::{PATIENCE, ip};

/// Text in every payload that must not get out.
pub(crate) const MARKER: &str = "ENFORCER-MARKER";
/// Text of the datagrams by which a test tells the watcher that nothing earlier is under way.
const END: &str = "ENFORCER-END";
const END_PORT: u16 = 7;

/// The far end of the wire.
pub(crate) struct World {
    frames: Receiver<Vec<u8>>,
    dial: Sender<SocketAddr>,
    ends: Cell<u32>,
}

impl World {
    /// Makes `near` here (10.99.0.1, fd99::1), and its far end (10.99.0.2, fd99::2) elsewhere.
    pub(crate) fn new() -> Self {
        let (tell_tid, tid) = mpsc::channel();
        let (go_on, wired) = mpsc::channel::<()>();
        let (tell_ready, ready) = mpsc::channel();
        let (frame, frames) = mpsc::channel();
        let (dial, to_dial) = mpsc::channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            tell_tid.send(gettid()).unwrap();
            wired.recv().unwrap();
            ip("address add 10.99.0.2/24 dev far");
            ip("address add fd99::2/64 dev far nodad");
            ip("link set far up");
            let packets = every_packet();
            tell_ready.send(()).unwrap();
            thread::spawn(move || dial_all(&to_dial));
            let mut buffer = [0; 2048];
            while let Ok(length) = recv(packets.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                if frame.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let tid = tid.recv_timeout(*PATIENCE).unwrap();
        ip(&format!("link add near type veth peer name far netns {tid}"));
        ip("address add 10.99.0.1/24 dev near");
        ip("address add fd99::1/64 dev near nodad");
        ip("link set near up");
        go_on.send(()).unwrap();
        ready.recv_timeout(*PATIENCE).unwrap();
        let world = Self { frames, dial, ends: Cell::new(0) };
        world.wait_until_wired();
        world
    }

    /// IPv6 starts a moment after the link has come up, and tells nobody.
    fn wait_until_wired(&self) {
        let deadline = Instant::now() + *PATIENCE;
        loop {
            let end = self.next_end();
            let sent = UdpSocket::bind("[fd99::1]:0")
                .and_then(|probe| probe.send_to(end.as_bytes(), ("fd99::2", END_PORT)));
            let frame = self.frames.recv_timeout(Duration::from_millis(20));
            if sent.is_ok() && frame.is_ok_and(|frame| contains(&frame, END)) {
                return;
            }
            assert!(Instant::now() < deadline, "the wire does not come up");
        }
    }

    /// Connects from outside; nobody waits for the outcome.
    pub(crate) fn dial(&self, address: &str) {
        self.dial.send(address.parse().unwrap()).unwrap();
    }

    fn next_end(&self) -> String {
        self.ends.set(self.ends.get() + 1);
        format!("{END}-{}.", self.ends.get())
    }

    /// The TCP, UDP and source-routed frames that arrived so far. Neighbor discovery is the kernel's own.
    pub(crate) fn arrived(&self) -> Vec<Vec<u8>> {
        // Frames of one device stay in order: after this one nothing earlier is under way.
        let end = self.next_end();
        let socket = UdpSocket::bind("10.99.0.1:0").unwrap();
        socket.send_to(end.as_bytes(), ("10.99.0.2", END_PORT)).unwrap();
        let mut arrived = Vec::new();
        loop {
            let frame = self.frames.recv_timeout(*PATIENCE).expect("the wire is dead");
            if contains(&frame, &end) {
                return arrived;
            }
            if is_traffic(&frame) && !contains(&frame, END) {
                arrived.push(frame);
            }
        }
    }
}

/// Whether a frame carries a text.
pub(crate) fn contains(frame: &[u8], text: &str) -> bool {
    frame.windows(text.len()).any(|part| part == text.as_bytes())
}

/// IPv4 at all, or IPv6 with TCP, UDP or a routing header.
fn is_traffic(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => true,
        Some([0x86, 0xdd]) => matches!(frame.get(20), Some(6 | 17 | 43)),
        _ => false,
    }
}

fn dial_all(addresses: &Receiver<SocketAddr>) {
    while let Ok(address) = addresses.recv() {
        let _ = TcpStream::connect_timeout(&address, *PATIENCE);
    }
}

fn every_packet() -> OwnedFd {
    socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .unwrap()
}
