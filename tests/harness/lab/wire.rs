// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The outside world: the far end of a veth pair, in a namespace of its own, where every frame is seen.

use std::cell::Cell;
use std::fmt;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, LinkAddr, Shutdown, SockFlag, SockProtocol, SockType, recvfrom, shutdown, socket,
};
use nix::unistd::gettid;

use super::{PATIENCE, ip_all};

/// Text in every payload that must not get out.
pub const MARKER: &str = "ENFORCER-MARKER";
/// The part of [`MARKER`] that has room in a group address.
pub const MARK: &str = "ENFORCER-MARK";
/// Port of the far end that takes every connection and reads what comes.
pub const SERVICE_PORT: u16 = 8080;
/// Hardware address of the far end.
const FAR: &str = "02:00:00:00:00:02";
/// Longest that a connect from outside waits: shorter than the kernel waits before it repeats itself.
const DIAL: Duration = Duration::from_millis(300);
/// Text of the datagrams by which a test tells the watcher that nothing earlier is under way.
const END: &str = "ENFORCER-END";
const END_PORT: u16 = 7;
/// `PACKET_OUTGOING` (`linux/if_packet.h`): what the far end itself sent.
const OUTGOING: u8 = 4;

/// The far end of the wire.
pub struct World {
    frames: Receiver<Vec<u8>>,
    dial: Sender<SocketAddr>,
    ends: Cell<u32>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Makes `near` here (10.99.0.1, fd99::1), and its far end (10.99.0.2, fd99::2) elsewhere.
    #[must_use]
    pub fn new() -> Self {
        let (tell_tid, tid) = mpsc::channel();
        let (go_on, wired) = mpsc::channel::<()>();
        let (tell_ready, ready) = mpsc::channel();
        let (frame, frames) = mpsc::channel();
        let (dial, to_dial) = mpsc::channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            tell_tid.send(gettid()).unwrap();
            wired.recv().unwrap();
            ip_all(
                "address add 10.99.0.2/24 dev far\naddress add fd99::2/64 dev far nodad\n\
                 address add fe80::99/64 dev far nodad\nlink set far up\n",
            );
            let packets = every_packet();
            let service = TcpListener::bind(("::", SERVICE_PORT)).unwrap();
            let closer = service.try_clone().unwrap();
            tell_ready.send(()).unwrap();
            thread::spawn(move || dial_all(&to_dial));
            thread::spawn(move || serve(&service));
            pass_on(&packets, &frame);
            // The listener would keep the namespace alive.
            shutdown(closer.as_raw_fd(), Shutdown::Both).unwrap();
        });
        let tid = tid.recv_timeout(*PATIENCE).unwrap();
        // Whoever is outside may claim any address; what is sent there must not wait for an answer.
        let claimed = ["127.0.0.1", "::1", "fe80::99"]
            .map(|address| format!("neighbor add {address} lladdr {FAR} dev near\n"));
        ip_all(&format!(
            "link add near type veth peer name far address {FAR} netns {tid}\n\
             address add 10.99.0.1/24 dev near\naddress add fd99::1/64 dev near nodad\n\
             link set near up\nroute add default via 10.99.0.2\n\
             route add default via fd99::2\n{}",
            claimed.concat()
        ));
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

    /// Waits until both sides have ended every connection to the far end's service: no packet of them comes later.
    ///
    /// # Panics
    /// When one goes on.
    pub fn wait_until_ended(&self) {
        let port = format!(":{SERVICE_PORT:04X}");
        // proc_net_tcp(5): number, local, remote, state; the last packet is sent before a socket is `TIME_WAIT`.
        let goes_on = |line: &str| {
            let mut fields = line.split_ascii_whitespace().skip(2);
            let (remote, state) = (fields.next(), fields.next());
            remote.is_some_and(|remote| remote.ends_with(&port)) && state != Some("06")
        };
        let deadline = Instant::now() + *PATIENCE;
        let read = |name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap();
        while ["tcp", "tcp6"].into_iter().any(|name| read(name).lines().any(goes_on)) {
            assert!(Instant::now() < deadline, "a connection does not end");
            thread::yield_now();
        }
    }

    /// Waits for a frame of a kind.
    ///
    /// # Errors
    /// The frames that arrived instead, when none came in time.
    pub fn wait_for(
        &self,
        limit: Duration,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<(), Vec<Vec<u8>>> {
        let deadline = Instant::now() + limit;
        let mut seen = Vec::new();
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            match self.frames.recv_timeout(wait) {
                Ok(frame) if !is_traffic(&frame) || contains(&frame, END) => {}
                Ok(frame) if is_wanted(&frame) => return Ok(()),
                Ok(frame) => seen.push(frame),
                Err(_) => return Err(seen),
            }
        }
    }

    /// Connects from outside; nobody waits for the outcome.
    pub fn dial(&self, address: &str) {
        self.dial.send(address.parse().unwrap()).unwrap();
    }

    fn next_end(&self) -> String {
        self.ends.set(self.ends.get() + 1);
        format!("{END}-{}.", self.ends.get())
    }

    /// The frames that arrived so far, without those that the kernel sends by itself.
    #[must_use]
    pub fn arrived(&self) -> Vec<Vec<u8>> {
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
#[must_use]
pub fn contains(frame: &[u8], text: &str) -> bool {
    frame.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Type of the `ICMPv6` error of a host that knows no way (RFC 4443, section 3.1).
const UNREACHABLE: u8 = 1;

/// All but address resolution and neighbor discovery; reports of groups only when the group is a test's.
fn is_traffic(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x06]) => false,
        Some([0x86, 0xdd]) => match icmp6_type(frame) {
            Some(130..=132 | 143) => contains(frame, MARK),
            Some(133..=137) => false,
            Some(UNREACHABLE) => !quotes_discovery(frame),
            _ => true,
        },
        _ => true,
    }
}

/// Whether an `ICMPv6` error is about neighbor discovery: while a device goes down, the kernel has no way to the
/// address that the far end asks for.
fn quotes_discovery(frame: &[u8]) -> bool {
    let quoted = frame.get(62..).unwrap_or_default();
    quoted.get(6) == Some(&58) && matches!(quoted.get(40), Some(133..=137))
}

/// The type of an `ICMPv6` message, also behind the hop-by-hop header that reports of groups have.
fn icmp6_type(frame: &[u8]) -> Option<u8> {
    match frame.get(20)? {
        58 => frame.get(54).copied(),
        0 if frame.get(54) == Some(&58) => frame.get(62).copied(),
        _ => None,
    }
}

/// Hands on what comes from the near end, until the wire is gone.
fn pass_on(packets: &OwnedFd, frame: &Sender<Vec<u8>>) {
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = recvfrom::<LinkAddr>(packets.as_raw_fd(), &mut buffer) {
        if from.is_some_and(|from| from.pkttype() == OUTGOING) {
            continue;
        }
        if frame.send(buffer[..length].to_vec()).is_err() {
            return;
        }
    }
}

/// Takes connections and reads them to their end.
fn serve(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        thread::spawn(move || {
            let _ = stream.set_read_timeout(Some(*PATIENCE));
            while stream.read(&mut [0; 512]).is_ok_and(|bytes| bytes != 0) {}
        });
    }
}

fn dial_all(addresses: &Receiver<SocketAddr>) {
    while let Ok(address) = addresses.recv() {
        let _ = TcpStream::connect_timeout(&address, DIAL);
    }
}

fn every_packet() -> OwnedFd {
    socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .unwrap()
}
