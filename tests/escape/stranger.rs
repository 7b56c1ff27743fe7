// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Services of this host that belong to nobody guarded: what they receive could be anywhere next.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use enforcer_tests::lab::PATIENCE;

/// Where a forward proxy would listen, a stub resolver, and services of the host's own addresses.
const STREAMS: [&str; 8] = [
    "127.0.0.1:3127",
    "127.0.0.1:3128",
    "127.0.0.5:3129",
    "10.99.0.1:3129",
    "127.0.0.53:53",
    "10.99.0.1:3128",
    "[::1]:3128",
    "[fd99::1]:3128",
];
const DATAGRAMS: [&str; 4] = ["127.0.0.53:53", "127.0.0.1:3128", "10.99.0.1:3128", "[::1]:3128"];
/// Text by which the test tells that nothing earlier is under way.
const END: &str = "STRANGER-END";

/// The running services; they end with the test's process.
pub(crate) struct Stranger {
    texts: Receiver<String>,
}

impl Stranger {
    pub(crate) fn new() -> Self {
        let (tell, texts) = mpsc::channel();
        for address in STREAMS {
            let listener = TcpListener::bind(address).unwrap();
            let tell = tell.clone();
            thread::spawn(move || take_streams(&listener, &tell));
        }
        for address in DATAGRAMS {
            let socket = UdpSocket::bind(address).unwrap();
            let tell = tell.clone();
            thread::spawn(move || take_datagrams(&socket, &tell));
        }
        Self { texts }
    }

    /// What the services received since the last call.
    pub(crate) fn received(&self) -> Vec<String> {
        for address in STREAMS {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(END.as_bytes()).unwrap();
        }
        for address in DATAGRAMS {
            let address: SocketAddr = address.parse().unwrap();
            let socket = UdpSocket::bind((address.ip(), 0)).unwrap();
            socket.send_to(END.as_bytes(), address).unwrap();
        }
        let mut received = Vec::new();
        let mut ends = STREAMS.len() + DATAGRAMS.len();
        while ends > 0 {
            let text = self.texts.recv_timeout(*PATIENCE).expect("the strangers are dead");
            if text.ends_with(END) { ends -= 1 } else { received.push(text) }
        }
        received
    }

    /// Whether a service receives this text in time.
    pub(crate) fn wait_for(&self, text: &str, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            match self.texts.recv_timeout(wait) {
                Ok(received) if received.contains(text) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

/// One after the other, so that what a test sends itself comes after everything earlier.
fn take_streams(listener: &TcpListener, tell: &Sender<String>) {
    while let Ok((mut stream, peer)) = listener.accept() {
        let mut bytes = Vec::new();
        let _ = stream.set_read_timeout(Some(*PATIENCE));
        let _ = stream.read_to_end(&mut bytes);
        if tell.send(format!("{peer} {}", String::from_utf8_lossy(&bytes))).is_err() {
            return;
        }
    }
}

fn take_datagrams(socket: &UdpSocket, tell: &Sender<String>) {
    let mut buffer = [0; 512];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if tell.send(format!("{peer} {text}")).is_err() {
            return;
        }
    }
}
