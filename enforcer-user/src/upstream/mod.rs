// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server side: verified TLS to the provider, kept warm.
//!
//! A connection is only ever made to addresses that the daemon resolved itself or answered to the agent;
//! an address that an agent made up is never dialed. Every wait is bounded; every failure is a refusal.

mod connect;
mod pool;
mod request;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use enforcer_core::model::{DenyReason, limits};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::net::TcpStream;

use connect::Sender;
pub use pool::Lease;
use pool::Pool;

/// What a request body may be made of.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Name that the certificate must prove, lower case.
    pub host: String,
    /// Port, for the authority and for addresses that carry none.
    pub port: u16,
    /// False only for endpoints that are plain HTTP.
    pub is_tls: bool,
}

/// Finds addresses for a name; declared here, made by the daemon from the resolver.
pub trait Addresses: Send + Sync {
    /// Addresses that are known without asking anybody, in order: the configured ones, or the one that
    /// the agent was given for this very name and now goes to. Empty if there are none.
    fn known(&self, host: &str, original: SocketAddr) -> Vec<SocketAddr>;

    /// Addresses that the host's resolver has for the name. Empty if it has none.
    fn resolved<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = Vec<SocketAddr>> + Send + 'a>>;
}

/// Why the upstream could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address is known for the name.
    #[error("no address for `{host}`")]
    Name {
        /// The name.
        host: String,
    },
    /// No address took the connection.
    #[error("failed to connect to `{host}`")]
    Unreachable {
        /// The name.
        host: String,
        /// The last attempt's failure.
        #[source]
        source: std::io::Error,
    },
    /// The certificate does not prove the name.
    #[error("certificate of `{host}` refused")]
    Certificate {
        /// The name.
        host: String,
        /// What the verifier said.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke, or what came back is not HTTP.
    #[error("exchange with `{host}` failed")]
    Exchange {
        /// The name.
        host: String,
        /// What the carrier said.
        #[source]
        source: hyper::Error,
    },
    /// No response head within [`limits::UPSTREAM_HEAD_TIMEOUT`].
    #[error("`{host}` did not answer in time")]
    Silent {
        /// The name.
        host: String,
    },
}

impl Error {
    /// The reason the agent is told.
    #[must_use]
    pub const fn reason(&self) -> DenyReason {
        match self {
            Self::Name { .. } => DenyReason::UpstreamName,
            Self::Certificate { .. } => DenyReason::UpstreamCertificate,
            Self::Unreachable { .. } | Self::Exchange { .. } | Self::Silent { .. } => {
                DenyReason::UpstreamUnreachable
            }
        }
    }
}

/// The connections to all providers.
pub struct Upstream {
    tls: ArcSwap<rustls::ClientConfig>,
    addresses: Arc<dyn Addresses>,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Connections verified by `tls`, to the addresses that `addresses` knows.
    #[must_use]
    pub fn new(tls: Arc<rustls::ClientConfig>, addresses: Arc<dyn Addresses>) -> Self {
        Self { tls: ArcSwap::new(tls), addresses, pool: Arc::new(Pool::default()) }
    }

    /// Verifies connections by `tls` from now on. Those that were proven by other roots take no more
    /// exchanges.
    pub fn trust(&self, tls: Arc<rustls::ClientConfig>) {
        self.tls.store(tls);
        self.pool.forget();
    }

    /// Sends one request and waits for the head of its answer. The [`Lease`] gives the connection back
    /// when the body was read to its end.
    ///
    /// # Errors
    /// See [`Error`]. A request that a kept connection provably never sent is tried on a fresh one.
    pub async fn send(
        &self,
        target: &Target,
        original: SocketAddr,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lease), Error> {
        let mut request = request;
        while let Some(sender) = self.pool.take(target) {
            match self.exchange(target, sender, request).await? {
                Ok(answer) => return Ok(answer),
                Err(unsent) => request = unsent.0,
            }
        }
        let sender = self.dial(target, original).await?;
        match self.exchange(target, sender, request).await? {
            Ok(answer) => Ok(answer),
            Err(unsent) => Err(Error::Exchange { host: target.host.clone(), source: unsent.1 }),
        }
    }

    /// Opens a bare connection for a passed-through endpoint.
    ///
    /// # Errors
    /// [`Error::Name`] and [`Error::Unreachable`].
    pub async fn tunnel(&self, target: &Target, original: SocketAddr) -> Result<TcpStream, Error> {
        self.reach(target, original).await
    }

    /// Closes connections that were idle for too long; the daemon calls it now and then.
    pub fn reap(&self) {
        self.pool.reap();
    }

    async fn dial(&self, target: &Target, original: SocketAddr) -> Result<Sender, Error> {
        let stream = self.reach(target, original).await?;
        let sender = connect::http(target, stream, &self.tls.load_full()).await?;
        self.pool.share(target, &sender);
        Ok(sender)
    }

    /// Connects to a known address; when none of those takes the connection, to any that the name has.
    /// A host without IPv6 is the usual reason: an agent may have chosen such an address all the same.
    async fn reach(&self, target: &Target, original: SocketAddr) -> Result<TcpStream, Error> {
        let host = target.host.as_str();
        let known = self.addresses.known(host, original);
        let mut failed = Error::Name { host: host.to_owned() };
        if !known.is_empty() {
            match connect::tcp(host, &known).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        let resolved = self.addresses.resolved(host, target.port).await;
        let fresh: Vec<_> = resolved.into_iter().filter(|found| !known.contains(found)).collect();
        if fresh.is_empty() {
            return Err(failed);
        }
        connect::tcp(host, &fresh).await
    }

    async fn exchange(
        &self,
        target: &Target,
        sender: Sender,
        request: Request<RequestBody>,
    ) -> Result<Result<(Response<Incoming>, Lease), Box<Unsent>>, Error> {
        let head = sender.try_send(target, request);
        let Ok(outcome) = tokio::time::timeout(limits::UPSTREAM_HEAD_TIMEOUT, head).await else {
            return Err(Error::Silent { host: target.host.clone() });
        };
        match outcome {
            Ok((response, sender)) => {
                Ok(Ok((response, Lease::new(Arc::clone(&self.pool), target.clone(), sender))))
            }
            Err(mut error) => match error.take_message() {
                Some(request) => Ok(Err(Box::new(Unsent(request, error.into_error())))),
                None => {
                    Err(Error::Exchange { host: target.host.clone(), source: error.into_error() })
                }
            },
        }
    }
}

/// A request that was provably not sent, and why.
struct Unsent(Request<RequestBody>, hyper::Error);
