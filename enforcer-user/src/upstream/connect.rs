// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One connection: TCP without delay, TLS that proves the name, HTTP as ALPN agreed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use enforcer_core::model::limits;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsConnector;

use super::streams::{Slot, Streams};
use super::{Error, RequestBody, Target, request};
use crate::runtime::{self, Watched};
use crate::tls::{self, UpstreamFailure};

/// The sending half of a connection.
pub(super) enum Sender {
    /// HTTP/1.1: one exchange at a time.
    Http1(http1::SendRequest<RequestBody>),
    /// HTTP/2: shared by as many as hold a slot.
    Http2(http2::SendRequest<RequestBody>, Slot),
}

/// A connection that was just made.
pub(super) struct Fresh {
    pub(super) sender: Sender,
    /// What others need to use it at the same time (HTTP/2).
    pub(super) shared: Option<(http2::SendRequest<RequestBody>, Streams)>,
}

impl Sender {
    /// Sends one request in the form that this version wants.
    pub(super) async fn try_send(
        mut self,
        target: &Target,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Self), TrySendError<Request<RequestBody>>> {
        let response = match &mut self {
            Self::Http1(sender) => sender.try_send_request(request::http1(target, request)).await?,
            Self::Http2(sender, slot) => {
                let request = request::http2(target, request);
                let answer = slot.dispatch(|| sender.try_send_request(request)).await;
                match &answer {
                    Ok(_) => slot.answered(),
                    Err(error) if error.message().is_some() => slot.unsent(),
                    // Whether its stream was opened is not known.
                    Err(_) => {}
                }
                answer?
            }
        };
        Ok((response, self))
    }

    /// True if another request can be sent now.
    pub(super) fn is_usable(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender, _) => sender.is_ready() && !sender.is_closed(),
        }
    }
}

/// Connects to the first address that answers.
pub(super) async fn tcp(host: &str, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let attempt = TcpStream::connect(address);
        match tokio::time::timeout(limits::UPSTREAM_CONNECT_TIMEOUT, attempt).await {
            Ok(Ok(stream)) => {
                // A request is one write; Nagle would hold its second half for 40 ms.
                stream.set_nodelay(true).map_err(|source| unreachable(host, source))?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_elapsed) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(unreachable(host, last))
}

/// Proves the name and starts HTTP. The connection holds `permit` until it ends.
pub(super) async fn http(
    target: &Target,
    stream: TcpStream,
    config: &Arc<rustls::ClientConfig>,
    permit: OwnedSemaphorePermit,
) -> Result<Fresh, Error> {
    let host = target.host.as_str();
    if !target.is_tls {
        return http1(host, stream, permit).await;
    }
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| unreachable(host, io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let handshake = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    let stream = match tokio::time::timeout(limits::UPSTREAM_CONNECT_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => {
            return Err(match tls::upstream_failure(&source) {
                UpstreamFailure::Certificate => {
                    Error::Certificate { host: host.to_owned(), source }
                }
                UpstreamFailure::Unreachable => unreachable(host, source),
            });
        }
        Err(_elapsed) => return Err(unreachable(host, io::ErrorKind::TimedOut.into())),
    };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if is_h2 { http2(host, stream, permit).await } else { http1(host, stream, permit).await }
}

async fn http1<S>(host: &str, stream: S, permit: OwnedSemaphorePermit) -> Result<Fresh, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_headers(limits::HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| Error::Unsent { host: host.to_owned(), source })?;
    drive("upstream h1", async move {
        let ended = connection.await;
        drop(permit);
        ended
    });
    Ok(Fresh { sender: Sender::Http1(sender), shared: None })
}

async fn http2<S>(host: &str, stream: S, permit: OwnedSemaphorePermit) -> Result<Fresh, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Streams::default();
    let stream = Watched::new(stream, streams.watch(permit));
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits::UPSTREAM_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(
            limits::UPSTREAM_STREAM_WINDOW_BYTES * limits::UPSTREAM_STREAMS_MAX,
        )
        .keep_alive_interval(limits::UPSTREAM_PING_INTERVAL)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| Error::Unsent { host: host.to_owned(), source })?;
    drive("upstream h2", connection);
    // The server says first how many exchanges it takes (RFC 9113 section 3.4); sent before, a request might wait
    // for another one.
    let slot = tokio::time::timeout(limits::UPSTREAM_CONNECT_TIMEOUT, streams.first()).await;
    let Ok(Some(slot)) = slot else { return Err(Error::Busy { host: host.to_owned() }) };
    let shared = Some((sender.clone(), streams));
    Ok(Fresh { sender: Sender::Http2(sender, slot), shared })
}

fn drive(name: &'static str, connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
    // The exchange on it reports the failure; this only moves the bytes.
    drop(runtime::spawn(name, async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "upstream connection ended");
        }
    }));
}

fn unreachable(host: &str, source: io::Error) -> Error {
    Error::Unreachable { host: host.to_owned(), source }
}
