// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carries queries and answers: datagrams, and length-prefixed messages on a stream (RFC 7766).
//!
//! Dropping a serving future drops all its unfinished answers; clients ask again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use enforcer_core::model::{AgentName, limits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::reply::Reach;
use super::{Error, Outcome, Resolver, relay};

/// Failures of a socket in a row after which it is given up.
const FAILURES_MAX: usize = 16;

impl Resolver {
    /// Answers the datagrams of a socket until it fails several times in a row; returns why. It can be served
    /// again.
    ///
    /// `who` tells who a peer is, with the agent; a peer that it does not know gets no name. `on` is called once
    /// for each query, after its answer was sent.
    pub async fn serve_udp<A, W, F>(&self, socket: Arc<UdpSocket>, who: W, on: F) -> Error
    where
        A: AsRef<AgentName> + Send + Sync + 'static,
        W: Fn(SocketAddr) -> Option<A> + Send + Sync + 'static,
        F: Fn(Option<A>, &Outcome) + Send + Sync + 'static,
    {
        let (who, on) = (Arc::new(who), Arc::new(on));
        let mut answers = JoinSet::new();
        let mut buffer = vec![0; limits::DNS_QUERY_BYTES_MAX];
        let mut failures = 0;
        loop {
            let received = tokio::select! {
                received = socket.recv_from(&mut buffer) => received,
                Some(_finished) = answers.join_next() => continue,
            };
            let (query, peer) = match received {
                Ok((count, peer)) => (buffer.get(..count).unwrap_or_default().to_vec(), peer),
                Err(source) if failures >= FAILURES_MAX => {
                    return Error::Socket { operation: "receive from", source };
                }
                Err(_passing) => {
                    failures += 1;
                    continue;
                }
            };
            failures = 0;
            let place = self.admit();
            let is_admitted = place.is_some();
            let (resolver, socket, on) = (self.clone(), Arc::clone(&socket), Arc::clone(&on));
            // At once: the next query of that peer says who it is anew.
            let asker = who(peer);
            let answer = async move {
                let agent = asker.as_ref().map(AsRef::as_ref);
                let answer = resolver.answer_within(agent, &query, place, Reach::Datagram).await;
                if let Some(reply) = answer.reply {
                    // A client that went away is its own loss.
                    let _gone = socket.send_to(&reply, peer).await;
                }
                on(asker, &answer.outcome);
            };
            if is_admitted {
                answers.spawn(answer);
            } else {
                // Without a place nothing is waited for, so this keeps the number of tasks bounded.
                answer.await;
            }
        }
    }

    /// Answers the queries of one connection of an agent, one after the other, until the client ends it, is
    /// silent for too long, or breaks the framing.
    ///
    /// `on` is called once for each query, after its answer was sent.
    ///
    /// # Errors
    /// If the connection failed in the middle of a message.
    pub async fn serve_tcp<S, F>(
        &self,
        agent: &AgentName,
        mut stream: S,
        on: F,
    ) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
        F: Fn(&Outcome) + Send,
    {
        let failed = |operation| move |source| Error::Socket { operation, source };
        for _ in 0..limits::DNS_TCP_QUERIES_MAX {
            let Ok(query) = timeout(limits::DNS_TCP_IDLE_TIMEOUT, receive(&mut stream)).await
            else {
                return Ok(());
            };
            let Some(query) = query.map_err(failed("receive from"))? else { return Ok(()) };
            let answer = self.answer_within(Some(agent), &query, self.admit(), Reach::Stream).await;
            let Some(reply) = answer.reply else {
                on(&answer.outcome);
                return Ok(());
            };
            let sent = timeout(limits::DNS_TCP_IDLE_TIMEOUT, send(&mut stream, &reply)).await;
            on(&answer.outcome);
            sent.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
                .map_err(failed("answer"))?;
        }
        Ok(())
    }
}

/// The next query; nothing at the end of the stream or when it is too long to be one.
async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<Vec<u8>>> {
    let length: usize = match stream.read_u16().await {
        Ok(length) => length.into(),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > limits::DNS_QUERY_BYTES_MAX {
        return Ok(None);
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(Some(query))
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, reply: &[u8]) -> io::Result<()> {
    stream.write_all(&relay::framed(reply)?).await?;
    stream.flush().await
}
