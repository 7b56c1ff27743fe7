// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bare HTTP/2 frames, for what no library would send: a client's, and a provider that does as it is told.

use std::sync::{Arc, Mutex};

use enforcer_core::protocol::h2::{Frames, PREFACE, Seen};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use crate::client::H2;
use crate::provider::{Seen as Connections, listen, server_config};
use crate::rig::{HOST, LIMIT, Rig};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
/// What a peer takes in one frame unless it says more (RFC 9113 section 6.5.2).
const FRAME_BYTES: usize = 16 * 1024;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What a client says first.
pub(crate) fn opening() -> Vec<u8> {
    [PREFACE.as_slice(), &frame(SETTINGS, 0, 0, &[])].concat()
}

/// Settings that allow this many streams.
pub(crate) fn allows(streams: u32) -> Vec<u8> {
    let mut setting = vec![0, 3];
    setting.extend(streams.to_be_bytes());
    frame(SETTINGS, 0, 0, &setting)
}

pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// Literals that leave the tables as they are (RFC 7541 section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            let mut rest = text.len();
            if rest < 127 {
                bytes.push(u8::try_from(rest).unwrap());
            } else {
                bytes.push(127);
                rest -= 127;
                while rest >= 128 {
                    bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                bytes.push(u8::try_from(rest).unwrap());
            }
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// A head in as many frames as it needs.
pub(crate) fn head(stream: u32, is_last: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let block = block(fields);
    let pieces: Vec<_> = block.chunks(FRAME_BYTES).collect();
    let mut bytes = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let mut flags = if number == 0 && is_last { END_STREAM } else { 0 };
        if number + 1 == pieces.len() {
            flags |= END_HEADERS;
        }
        bytes.extend(frame(kind, flags, stream, piece));
    }
    bytes
}

/// The pseudo-headers of a request.
pub(crate) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/v1/models")];
pub(crate) const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/v1/files")];

/// A request with these headers besides.
pub(crate) fn request(
    stream: u32,
    is_last: bool,
    pseudo: &[(&str, &str)],
    more: &[(&str, &str)],
) -> Vec<u8> {
    head(stream, is_last, &[pseudo, more].concat())
}

/// One connection of a provider that speaks in frames. It answers pings and settings of the other side with
/// nothing: nobody waits for those.
pub(crate) struct Provided {
    stream: TlsStream<TcpStream>,
    frames: Frames,
    seen: std::collections::VecDeque<Seen>,
}

impl Provided {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next thing that came; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        let mut buffer = [0; 4096];
        while self.seen.is_empty() {
            let count = self.stream.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                return None;
            }
            let Self { frames, seen, .. } = self;
            frames.push(&buffer[..count], |one| seen.push_back(one));
        }
        self.seen.pop_front()
    }

    /// What came and was not taken yet.
    pub(crate) fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.seen.iter()
    }

    /// Sends a ping and waits for its answer: what was sent before has been dealt with.
    pub(crate) async fn ping(&mut self) {
        self.send(&frame(PING, 0, 0, b"sequence")).await;
        let mut buffer = [0; 4096];
        let pong: Vec<u8> = frame(PING, ACK, 0, b"sequence");
        let mut bytes: Vec<u8> = Vec::new();
        while !bytes.windows(pong.len()).any(|part| part == pong.as_slice()) {
            let count = self.stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the connection ended");
            bytes.extend(&buffer[..count]);
            let Self { frames, seen, .. } = self;
            frames.push(&buffer[..count], |one| seen.push_back(one));
        }
    }

    /// Waits for the next request.
    pub(crate) async fn asked(&mut self) -> u32 {
        loop {
            if let Seen::Block { stream } = self.next().await.expect("the connection ended") {
                return stream;
            }
        }
    }

    /// Answers whole.
    pub(crate) async fn answer(&mut self, stream: u32, content: &str) {
        let mut bytes = head(stream, false, &[(":status", "200"), ("content-type", "text/plain")]);
        bytes.extend(frame(DATA, END_STREAM, stream, content.as_bytes()));
        self.send(&bytes).await;
    }

    /// Begins an answer and leaves it open.
    pub(crate) async fn begin(&mut self, stream: u32) {
        self.send(&head(stream, false, &[(":status", "200")])).await;
    }
}

/// The connections that come to a provider that speaks in frames.
pub(crate) struct Provider {
    pub(crate) connections: Connections,
    coming: mpsc::UnboundedReceiver<Provided>,
}

impl Provider {
    pub(crate) async fn start(rig: &Rig) -> Self {
        let (sender, coming) = mpsc::unbounded_channel();
        let connections = Connections::default();
        let tls = server_config(&rig.authority, HOST, H2);
        let open = Arc::new(Mutex::new(sender));
        let serve = move |stream| {
            let frames = Frames::of_client();
            let provided = Provided { stream, frames, seen: Default::default() };
            let sent = open.lock().unwrap().send(provided);
            async move { sent.unwrap_or_default() }
        };
        rig.resolve(HOST, listen(tls, connections.clone(), serve).await);
        Self { connections, coming }
    }

    /// The next connection.
    pub(crate) async fn connection(&mut self) -> Provided {
        let next = tokio::time::timeout(LIMIT, self.coming.recv());
        next.await.expect("nobody connects").unwrap()
    }
}
