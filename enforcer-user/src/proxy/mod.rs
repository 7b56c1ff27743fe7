// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The connection page: what does it speak, is it an endpoint, open TLS or pass it through, then the
//! carrier. Whatever does not fit is refused, told to the client as far as its protocol can, and recorded.

mod aside;
mod http;
mod passthrough;
mod patience;
mod refusals;
mod upgrade;

use std::sync::Arc;

use enforcer_core::model::{Capture, Denied, DenyReason, Mode, limits};
use enforcer_core::policy::Tls;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::dns::{Outcome, Resolver};
use crate::enforce::{self, Conn, Enforcer};
use crate::intake::{Accepted, Origin, Prefixed, Sniffed, Turned, sniff};
use crate::runtime::Draining;
use crate::tls::{self, HandshakeFailure, Hello};
use crate::upstream::Target;

/// Name queries over TCP are answered, not forwarded as a connection (RFC 7766).
const DNS_PORT: u16 = 53;

/// TLS record of a fatal `access_denied` alert (RFC 8446 section 6): the client learns that it was
/// refused, and not merely cut off.
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// What every connection needs, put together once by the daemon.
#[derive(Clone)]
pub struct Proxy {
    /// Judges exchanges.
    pub enforcer: Arc<Enforcer>,
    /// Answers names.
    pub resolver: Resolver,
    /// The one TLS configuration for all names.
    pub tls: Arc<rustls::ServerConfig>,
    /// Ends connections in order.
    pub draining: Draining,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

/// Why a connection ends before any exchange.
struct Refused {
    reason: DenyReason,
    server_name: Option<String>,
    detail: Option<String>,
}

impl Refused {
    fn new(reason: DenyReason, server_name: Option<&str>) -> Self {
        Self { reason, server_name: server_name.map(str::to_owned), detail: None }
    }

    fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }
}

impl Proxy {
    /// Serves one connection to its end.
    pub async fn serve(self, accepted: Result<Accepted, Turned>) {
        let Accepted { stream, origin } = match accepted {
            Ok(accepted) => accepted,
            // Not through the kernel's redirect, or its origin was evicted: never guessed.
            Err(Turned::Stranger(peer)) => return enforce::stranger_refused(&self.enforcer, peer),
            Err(Turned::Late(origin)) => {
                let denied = Denied::because(DenyReason::Limit);
                let detail = Some("no file descriptors are left".to_owned());
                return enforce::connection_refused(&self.enforcer, &origin, None, denied, detail);
            }
        };
        if let Err(refused) = self.connection(stream, &origin).await {
            let Refused { reason, server_name, detail } = refused;
            let denied = Denied::because(reason);
            enforce::connection_refused(&self.enforcer, &origin, server_name, denied, detail);
        }
    }

    async fn connection(&self, stream: TcpStream, origin: &Arc<Origin>) -> Result<(), Refused> {
        if origin.destination.port() == DNS_PORT {
            let on = |outcome: &Outcome| self.resolved(origin, outcome);
            if let Err(error) = self.resolver.serve_tcp(&origin.agent, stream, on).await {
                tracing::debug!(%error, "name query over TCP ended");
            }
            return Ok(());
        }
        let (sniffed, stream) = sniff(stream).await;
        match sniffed {
            Sniffed::Tls(hello) => self.tls(hello, stream, origin).await,
            Sniffed::Http if self.is_observed_only(origin) => {
                let reason = DenyReason::NotAnEndpoint;
                enforce::connection_observed(&self.enforcer, origin, None, reason);
                aside::serve(origin, &self.enforcer, None, stream).await
            }
            Sniffed::Http => {
                http::serve_plain(self, stream, origin).await;
                Ok(())
            }
            Sniffed::Other(_) if self.enforcer.policy.load().mode() == Mode::Observe => {
                let reason = DenyReason::ProtocolError;
                enforce::connection_observed(&self.enforcer, origin, None, reason);
                aside::serve(origin, &self.enforcer, None, stream).await
            }
            Sniffed::Other(why) => Err(Refused::new(DenyReason::ProtocolError, None).detail(why)),
        }
    }

    /// Whether the bundle observes, and nothing at this port is looked into.
    fn is_observed_only(&self, origin: &Origin) -> bool {
        let policy = self.enforcer.policy.load();
        let port = origin.destination.port();
        policy.mode() == Mode::Observe
            && !policy.endpoints().any(|found| found.ports.contains(&port))
    }

    async fn tls(
        &self,
        hello: Hello,
        mut stream: Prefixed<TcpStream>,
        origin: &Arc<Origin>,
    ) -> Result<(), Refused> {
        let port = origin.destination.port();
        let policy = self.enforcer.policy.load_full();
        let name = hello.server_name.as_deref();
        let found = name.and_then(|host| policy.endpoint(host, port).map(|found| (host, found)));
        let Some((host, endpoint)) = found else {
            if name.is_some() && origin.capture == Capture::Endpoints {
                return aside::serve(origin, &self.enforcer, name, stream).await;
            }
            let reason = name.map_or(DenyReason::SniMissing, |_| DenyReason::NotAnEndpoint);
            if policy.mode() == Mode::Observe {
                enforce::connection_observed(&self.enforcer, origin, name, reason);
                return aside::serve(origin, &self.enforcer, name, stream).await;
            }
            // The client may be gone already; the refusal stands either way.
            drop(stream.write_all(&ACCESS_DENIED).await);
            drop(stream.shutdown().await);
            let refused = Refused::new(reason, name);
            return Err(match name {
                Some(host) if policy.names_host(host) => refused.detail(format!(
                    "an endpoint of the bundle has this host, but not port {port}"
                )),
                _ => refused,
            });
        };
        let target = Target { host: host.to_owned(), port, is_tls: true };
        let conn = Conn { origin: Arc::clone(origin), target };
        match endpoint.tls {
            Tls::Passthrough => {
                passthrough::serve(&self.enforcer, &conn, &policy, endpoint, stream).await
            }
            Tls::Inspect => self.inspect(conn, stream).await,
        }
    }

    async fn inspect(&self, conn: Conn, stream: Prefixed<TcpStream>) -> Result<(), Refused> {
        let accept = TlsAcceptor::from(Arc::clone(&self.tls)).accept(stream);
        let host = conn.target.host.as_str();
        let stream = match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, accept).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let reason = match tls::handshake_failure(&error) {
                    HandshakeFailure::CaUntrusted => DenyReason::CaUntrusted,
                    HandshakeFailure::Timeout => DenyReason::Limit,
                    HandshakeFailure::Aborted | HandshakeFailure::Protocol => {
                        DenyReason::ProtocolError
                    }
                };
                return Err(Refused::new(reason, Some(host)).detail(error.to_string()));
            }
            Err(_elapsed) => {
                let refused = Refused::new(DenyReason::Limit, Some(host));
                return Err(refused.detail("TLS handshake not finished in time"));
            }
        };
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        http::serve(self, stream, conn, is_h2).await;
        Ok(())
    }

    /// Writes down a name query that was refused.
    fn resolved(&self, origin: &Origin, outcome: &Outcome) {
        if let Outcome::Refused { name, .. } = outcome {
            let process = Some(origin.process.clone());
            enforce::resolve_refused(&self.enforcer, origin.session, process, name);
        }
    }
}
