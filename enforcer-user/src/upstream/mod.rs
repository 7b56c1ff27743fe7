// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server side: verified TLS to the provider, kept warm.
//!
//! A connection is only ever made to addresses that the daemon resolved itself or answered to the agent;
//! an address that an agent made up is never dialed. Every wait is bounded; every failure is a refusal.

mod connect;
mod error;
mod interim;
mod places;
mod pool;
mod request;
mod streams;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use enforcer_core::model::{AgentName, limits};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpStream;

use connect::{Fresh, Sender};
pub use error::Error;
use interim::Interim;
use places::Places;
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

/// The connections to all providers.
pub struct Upstream {
    tls: ArcSwap<rustls::ClientConfig>,
    addresses: Arc<dyn Addresses>,
    pool: Arc<Pool>,
    places: Places,
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
        let (pool, places) = (Arc::new(Pool::default()), Places::default());
        Self { tls: ArcSwap::new(tls), addresses, pool, places }
    }

    /// Verifies connections by `tls` from now on. Those that were proven by other roots take no more
    /// exchanges.
    pub fn trust(&self, tls: Arc<rustls::ClientConfig>) {
        self.tls.store(tls);
        self.pool.forget();
    }

    /// Sends one request of `agent` and waits for the head of its answer. The [`Lease`] gives the connection back
    /// when the body was read to its end.
    ///
    /// `sent` is true from the moment a byte of the request may have reached the provider, whatever becomes of the
    /// returned future; it is false again when the carrier gave the request back untouched.
    ///
    /// # Errors
    /// See [`Error`]. A request that a kept connection provably never sent is tried on a fresh one.
    pub async fn send(
        &self,
        target: &Target,
        original: SocketAddr,
        agent: &AgentName,
        request: Request<RequestBody>,
        sent: &AtomicBool,
    ) -> Result<(Response<Incoming>, Lease), Error> {
        let host = || target.host.clone();
        let Some(place) = self.places.exchange(agent) else {
            return Err(Error::Crowded { host: host(), what: "exchanges of this agent" });
        };
        let mut request = request;
        while let Some(sender) = self.pool.take(target) {
            match self.exchange(target, sender, request, sent).await? {
                Ok((answer, sender)) => return Ok((answer, self.lease(target, sender, place))),
                Err(unsent) => request = unsent.0,
            }
        }
        // Most exchanges find a kept connection, and need not carry the making of one.
        let sender = Box::pin(self.dial(target, original)).await?;
        match self.exchange(target, sender, request, sent).await? {
            Ok((answer, sender)) => Ok((answer, self.lease(target, sender, place))),
            Err(unsent) => Err(Error::Unsent { host: host(), source: unsent.1 }),
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

    fn lease(&self, target: &Target, sender: Sender, place: places::Place) -> Lease {
        Lease::new(Arc::clone(&self.pool), target.clone(), sender, place)
    }

    async fn dial(&self, target: &Target, original: SocketAddr) -> Result<Sender, Error> {
        let Some(permit) = self.places.connection(|| self.pool.make_room()).await else {
            let host = target.host.clone();
            return Err(Error::Crowded { host, what: "connections to providers" });
        };
        let stream = self.reach(target, original).await?;
        let fresh = connect::http(target, stream, &self.tls.load_full(), permit).await?;
        let Fresh { sender, shared } = fresh;
        if let Some((sender, streams)) = shared {
            self.pool.share(target, sender, streams);
        }
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
        sent: &AtomicBool,
    ) -> Result<Result<(Response<Incoming>, Sender), Box<Unsent>>, Error> {
        let host = || target.host.clone();
        let mut request = request;
        let interim = Interim::of(&mut request);
        let head = sender.try_send(target, request);
        // From the first poll on the request is the carrier's.
        sent.store(true, Ordering::SeqCst);
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(limits::UPSTREAM_HEAD_TIMEOUT, head) => outcome,
            () = interim.too_many() => return Err(Error::Interim { host: host() }),
        };
        match outcome {
            // Nobody asked for it: upgrades are refused before (RFC 9110 section 7.8).
            Ok(Ok((response, _))) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Error::Switched { host: host() })
            }
            Ok(Ok(answered)) => Ok(Ok(answered)),
            Ok(Err(mut error)) => match error.take_message() {
                Some(request) => {
                    sent.store(false, Ordering::SeqCst);
                    Ok(Err(Box::new(Unsent(request, error.into_error()))))
                }
                None => Err(Error::Exchange { host: host(), source: error.into_error() }),
            },
            Err(_elapsed) => Err(Error::Silent { host: host() }),
        }
    }
}

/// A request that was provably not sent, and why.
struct Unsent(Request<RequestBody>, hyper::Error);
