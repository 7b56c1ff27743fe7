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
use tokio_rustls::TlsConnector;

use super::{Error, RequestBody, Target, request};
use crate::runtime;
use crate::tls::{self, UpstreamFailure};

/// The sending half of a connection.
pub(super) enum Sender {
    /// HTTP/1.1: one exchange at a time.
    Http1(http1::SendRequest<RequestBody>),
    /// HTTP/2: shared by as many as hold the token.
    Http2(http2::SendRequest<RequestBody>, Arc<()>),
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
            Self::Http2(sender, _) => {
                sender.try_send_request(request::http2(target, request)).await?
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

/// Proves the name and starts HTTP.
pub(super) async fn http(
    target: &Target,
    stream: TcpStream,
    config: &Arc<rustls::ClientConfig>,
) -> Result<Sender, Error> {
    let host = target.host.as_str();
    if !target.is_tls {
        return start(host, stream, false).await;
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
    start(host, stream, is_h2).await
}

async fn start<S>(host: &str, stream: S, is_h2: bool) -> Result<Sender, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |source| Error::Exchange { host: host.to_owned(), source };
    let io = TokioIo::new(stream);
    if is_h2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(limits::UPSTREAM_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(
                limits::UPSTREAM_STREAM_WINDOW_BYTES * limits::UPSTREAM_STREAMS_MAX,
            )
            .keep_alive_interval(limits::UPSTREAM_PING_INTERVAL)
            .keep_alive_while_idle(true)
            .handshake(io)
            .await
            .map_err(failed)?;
        drive("upstream h2", connection);
        return Ok(Sender::Http2(sender, Arc::default()));
    }
    let (sender, connection) = http1::Builder::new()
        .max_headers(limits::HEADERS_MAX)
        .handshake(io)
        .await
        .map_err(failed)?;
    drive("upstream h1", connection);
    Ok(Sender::Http1(sender))
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
