// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks the host's resolvers one question: over UDP, over TCP when the answer was cut.
//!
//! Every attempt has a new socket, hence a new source port, and a new random identifier (RFC 5452);
//! what does not match both and the question is not our answer and is passed over. Two rounds over
//! all resolvers share the time given; the second one asks without EDNS, for servers that
//! stumble over it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::rand;
use enforcer_core::model::limits;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::Failure;

/// Rounds over all resolvers.
const ROUNDS: u32 = 2;
/// Room for one datagram; what we ask for is smaller.
const DATAGRAM_BYTES: usize = 4096;

/// Asks the resolvers in turn until one says that the name is or is not there.
pub(super) async fn ask(
    servers: &[SocketAddr],
    name: &Name,
    kind: RecordType,
    patience: Duration,
) -> Result<Message, Failure> {
    let attempts = u32::try_from(servers.len()).unwrap_or(u32::MAX).saturating_mul(ROUNDS);
    if attempts == 0 {
        return Err(Failure::NoResolver);
    }
    let patience = patience / attempts;
    let mut last = Failure::Timeout;
    for round in 0..ROUNDS {
        for server in servers {
            let sent = Sent::new(name, kind, round == 0)?;
            last = match timeout(patience, sent.exchange(*server)).await {
                Ok(Ok(message)) => match message.metadata.response_code {
                    ResponseCode::NoError | ResponseCode::NXDomain => return Ok(message),
                    code => Failure::Response(code.into()),
                },
                Ok(Err(_unreachable)) => Failure::Unreachable,
                Err(_elapsed) => Failure::Timeout,
            };
        }
    }
    Err(last)
}

/// One question on its way.
struct Sent {
    id: u16,
    query: Query,
    bytes: Vec<u8>,
}

impl Sent {
    fn new(name: &Name, kind: RecordType, with_edns: bool) -> Result<Self, Failure> {
        let mut id = [0_u8; 2];
        rand::fill(&mut id).map_err(|_unspecified| Failure::Random)?;
        let id = u16::from_be_bytes(id);
        let query = Query::query(name.to_lowercase(), kind);
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.queries.push(query.clone());
        if with_edns {
            let mut edns = Edns::new();
            edns.set_max_payload(limits::DNS_UDP_BYTES_MAX);
            message.edns = Some(edns);
        }
        let bytes = message.to_vec().map_err(|_unwritable| Failure::Answer)?;
        Ok(Self { id, query, bytes })
    }

    async fn exchange(&self, server: SocketAddr) -> io::Result<Message> {
        let message = self.over_udp(server).await?;
        if message.metadata.truncation {
            return self.over_tcp(server).await;
        }
        Ok(message)
    }

    async fn over_udp(&self, server: SocketAddr) -> io::Result<Message> {
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        // Connected: the kernel drops datagrams of every other source.
        socket.connect(server).await?;
        socket.send(&self.bytes).await?;
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            let count = socket.recv(&mut buffer).await?;
            if let Some(message) = buffer.get(..count).and_then(|bytes| self.accept(bytes)) {
                return Ok(message);
            }
        }
    }

    async fn over_tcp(&self, server: SocketAddr) -> io::Result<Message> {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&framed(&self.bytes)?).await?;
        let mut bytes = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut bytes).await?;
        self.accept(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The answer, if these bytes are the answer to this very question.
    fn accept(&self, bytes: &[u8]) -> Option<Message> {
        let [a, b, _, _, q1, q0] = *bytes.first_chunk()?;
        // Before anything is decoded: the library reserves memory by the number of questions.
        if u16::from_be_bytes([a, b]) != self.id || u16::from_be_bytes([q1, q0]) != 1 {
            return None;
        }
        let message = Message::from_vec(bytes).ok()?;
        let is_ours = message.metadata.message_type == MessageType::Response
            && message.metadata.op_code == OpCode::Query
            && message.queries.first() == Some(&self.query);
        is_ours.then_some(message)
    }
}

/// A message with its length in front (RFC 7766 section 8).
pub(super) fn framed(message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len())
        .map_err(|_too_long| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut bytes = Vec::with_capacity(message.len() + 2);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(message);
    Ok(bytes)
}
