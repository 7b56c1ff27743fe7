// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stands in for the daemon behind the doors: a proxy that tells each client where it wanted to go, and a
//! resolver that tells each query whom it was meant for.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use enforcer_common::{PROTOCOL_TCP, PROTOCOL_UDP, RESOLVER_PORTS};
use enforcer_core::model::SessionId;
use enforcer_core::model::limits::ACCEPT_QUEUE_MAX;
use enforcer_user::kernel::{OriginSeen, Origins, keep_syn};
use nix::sys::socket::sockopt::ReuseAddr;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket,
};

use super::{Arrival, SESSION};

/// Ports of the proxy and the resolver: below 1024 like those of the daemon, so that the kernel gives them
/// to nobody by itself.
pub const DOORS: (u16, u16) = (914, 915);

/// Listens as the daemon does.
fn listen(address: &str, port: u16) -> TcpListener {
    let address = SocketAddr::new(address.parse().unwrap(), port);
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let listener = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&listener, ReuseAddr, &true).unwrap();
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    // Before it listens: a SYN that comes earlier is not kept.
    keep_syn(&listener).unwrap();
    let queue = i32::try_from(ACCEPT_QUEUE_MAX).unwrap();
    nix::sys::socket::listen(&listener, Backlog::new(queue).unwrap()).unwrap();
    TcpListener::from(listener)
}

/// What a proxy does with a connection.
pub type Answer = dyn Fn(TcpStream, SocketAddr, &Origins) + Send + Sync;

/// Tells the client, and the test, what the kernel knows.
pub(super) fn answering(tell: Sender<Arrival>) -> Arc<Answer> {
    Arc::new(move |stream, peer, origins: &Origins| {
        answer_connection(stream, peer, origins, &tell);
    })
}

/// Accepts connections and hands them on.
pub(super) struct Proxy {
    pub(super) port: u16,
    answer: Arc<Answer>,
    listeners: Vec<TcpListener>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    pub(super) fn bind(answer: Arc<Answer>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (listeners, threads) = (Vec::new(), Vec::new());
        let mut proxy = Self { port: DOORS.0, answer, listeners, stop, threads };
        proxy.listen_again();
        proxy
    }

    pub(super) fn listen_again(&mut self) {
        self.listeners = ["127.0.0.1", "::1"].map(|address| listen(address, self.port)).into();
    }

    pub(super) fn serve(&mut self, origins: Origins) {
        if !self.listeners.is_empty() {
            self.stop = Arc::new(AtomicBool::new(false));
        }
        for listener in self.listeners.drain(..) {
            let (origins, stop) = (origins.clone(), Arc::clone(&self.stop));
            let answer = Arc::clone(&self.answer);
            let serve = move || accept(&listener, &origins, &*answer, &stop);
            self.threads.push(thread::spawn(serve));
        }
    }

    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if self.threads.is_empty() {
            return;
        }
        for address in ["127.0.0.1", "::1"] {
            let _ = TcpStream::connect((address, self.port));
        }
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn accept(listener: &TcpListener, origins: &Origins, answer: &Answer, stop: &AtomicBool) {
    while let Ok((stream, peer)) = listener.accept() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        answer(stream, peer, origins);
    }
}

/// Tells the destination that the kernel remembered, then closes.
fn answer_connection(
    mut stream: TcpStream,
    peer: SocketAddr,
    origins: &Origins,
    tell: &Sender<Arrival>,
) {
    let answer = origin_text(origins.take(&stream, peer).unwrap(), PROTOCOL_TCP, tell);
    let again = origins.take(&stream, peer).unwrap();
    assert_eq!(again, None, "an origin can be taken once");
    // The client may be gone by now.
    let _ = stream.write_all(answer.as_bytes());
}

/// What the kernel knows about a peer, as the stand-ins tell it to the client and to the test.
fn origin_text(origin: Option<OriginSeen>, protocol: u16, tell: &Sender<Arrival>) -> String {
    // The test may be over.
    let _ = tell.send(Arrival { protocol, origin: origin.clone() });
    match origin {
        Some(seen) => {
            // Session ids of the kernel begin with the time.
            let is_selected = seen.session.as_u64() > u64::from(u32::MAX);
            assert!(is_selected || seen.session == SessionId::from_u64(SESSION));
            assert!(!seen.comm.is_empty());
            format!("{} pid {} uid {}", seen.destination, seen.pid, seen.uid)
        }
        None => "no origin".to_owned(),
    }
}

/// Answers each datagram with the server that the kernel remembered.
pub(super) struct Resolver {
    tell: Sender<Arrival>,
    pub(super) port: u16,
    sockets: Vec<UdpSocket>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Resolver {
    pub(super) fn bind(tell: Sender<Arrival>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (sockets, threads) = (Vec::new(), Vec::new());
        let mut resolver = Self { tell, port: DOORS.1, sockets, stop, threads };
        resolver.listen_again();
        resolver
    }

    pub(super) fn listen_again(&mut self) {
        let ports = self.port..self.port + RESOLVER_PORTS;
        let addresses = ports.flat_map(|port| [("127.0.0.1", port), ("::1", port)]);
        self.sockets = addresses.map(|address| UdpSocket::bind(address).unwrap()).collect();
    }

    pub(super) fn serve(&mut self, origins: Origins) {
        if !self.sockets.is_empty() {
            self.stop = Arc::new(AtomicBool::new(false));
        }
        for socket in self.sockets.drain(..) {
            let (tell, origins, stop) =
                (self.tell.clone(), origins.clone(), Arc::clone(&self.stop));
            let serve = move || answer_datagrams(&socket, &origins, &tell, &stop);
            self.threads.push(thread::spawn(serve));
        }
    }

    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if self.threads.is_empty() {
            return;
        }
        for port in self.port..self.port + RESOLVER_PORTS {
            for (from, to) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
                UdpSocket::bind(from).unwrap().send_to(b"stop", (to, port)).unwrap();
            }
        }
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn answer_datagrams(
    socket: &UdpSocket,
    origins: &Origins,
    tell: &Sender<Arrival>,
    stop: &AtomicBool,
) {
    let mut buffer = [0; 512];
    while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let answer = origin_text(origins.of_query(peer).unwrap(), PROTOCOL_UDP, tell);
        let _ = socket.send_to(answer.as_bytes(), peer);
    }
}
