// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The HTTP carrier: frames HTTP/1.1 and HTTP/2 into one exchange at a time, after proving that the
//! request names the host that the connection was opened for.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use enforcer_core::model::{Denied, DenyReason, limits};
use enforcer_core::protocol::path;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::http::uri::Authority;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Proxy;
use super::patience::{Bounded, Carried, Patient, Traffic};
use super::refusals::Refusals;
use super::upgrade::{self, Upgrade};
use crate::enforce::{self, AnswerBody, Conn};
use crate::intake::Origin;
use crate::runtime::Watched;
use crate::upstream::Target;

/// The one port on which plain HTTP is expected (RFC 9110 section 4.2.1).
const HTTP_PORT: u16 = 80;

/// Serves an opened TLS connection, whose host is proven by the server name.
pub(super) async fn serve<S>(proxy: &Proxy, stream: S, conn: Conn, is_h2: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let carrier = Arc::new(Carrier { proxy: proxy.clone(), host: Host::Proven(conn) });
    let stream = Patient::new(stream);
    let serving = Arc::clone(&carrier);
    let ended = if is_h2 { serving.http2(stream).await } else { serving.http1(stream).await };
    carrier.report(ended);
}

/// Serves plain HTTP: each request names its host, and that name must be known for the address.
pub(super) async fn serve_plain<S>(proxy: &Proxy, stream: S, origin: &Arc<Origin>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = Host::Named(Arc::clone(origin));
    let carrier = Arc::new(Carrier { proxy: proxy.clone(), host });
    let ended = Arc::clone(&carrier).http1(Patient::new(stream)).await;
    carrier.report(ended);
}

/// One connection, for all its exchanges.
struct Carrier {
    proxy: Proxy,
    host: Host,
}

/// What says which host a request is for.
enum Host {
    /// Only the request; our own answer to a name query must back it.
    Named(Arc<Origin>),
    /// The server name of the client hello.
    Proven(Conn),
}

impl Carrier {
    async fn http1<S>(self: Arc<Self>, stream: S) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut draining = self.proxy.draining.clone();
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEAD_TIMEOUT)
            .max_headers(limits::HEADERS_MAX)
            .max_buf_size(limits::HEAD_BYTES_MAX);
        let service = service_fn(move |request| Arc::clone(&self).answer(request));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = draining.begun() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    }

    async fn http2<S>(self: Arc<Self>, stream: S) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut draining = self.proxy.draining.clone();
        let traffic = Arc::new(Traffic::default());
        let told = Arc::clone(&self);
        let tell = move |reason, detail| told.refused(reason, detail);
        let refusals = Arc::new(Refusals::new(Arc::clone(&traffic), Box::new(tell)));
        let stream = Watched::new(stream, refusals.watch());
        let mut builder = http2::Builder::new(Bounded);
        builder
            .timer(TokioTimer::new())
            // So that whoever asks for a WebSocket in this way gets an answer, and no broken stream.
            .enable_connect_protocol()
            .max_concurrent_streams(limits::H2_STREAMS_MAX)
            .max_send_buf_size(limits::H2_SEND_BUFFER_BYTES)
            .max_header_list_size(u32::try_from(limits::HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(limits::HEAD_TIMEOUT);
        let carried = Arc::clone(&traffic);
        let service = service_fn(move |request| {
            let running = Arc::clone(&carried).begin();
            let answering = Arc::clone(&self).answer(request);
            async move { Ok::<_, Infallible>(answering.await?.map(|it| Carried::new(it, running))) }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = refusals.told(connection.as_mut()) => ended,
            () = draining.begun() => {
                connection.as_mut().graceful_shutdown();
                refusals.told(connection).await
            }
            () = traffic.idle() => {
                connection.as_mut().graceful_shutdown();
                // A client that never even began does not end in order either.
                let rest = refusals.told(connection);
                let ended = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, rest).await;
                ended.unwrap_or(Ok(()))
            }
        }
    }

    /// Writes down what was no request at all; our carrier has answered it already.
    fn report(&self, ended: hyper::Result<()>) {
        let Err(error) = ended else { return };
        if !error.is_parse() {
            tracing::debug!(%error, "downstream connection ended");
            return;
        }
        let reason =
            if error.is_parse_too_large() { DenyReason::Limit } else { DenyReason::ProtocolError };
        self.refused(reason, error.to_string());
    }

    fn refused(&self, reason: DenyReason, detail: String) {
        let (origin, server_name) = match &self.host {
            Host::Named(origin) => (origin, None),
            Host::Proven(conn) => (&conn.origin, Some(conn.target.host.clone())),
        };
        let denied = Denied::because(reason);
        enforce::connection_refused(
            &self.proxy.enforcer,
            origin,
            server_name,
            denied,
            Some(detail),
        );
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Infallible> {
        Ok(match &self.host {
            Host::Proven(conn) => self.exchange(conn, request).await,
            Host::Named(origin) => self.plain(origin, request).await,
        })
    }

    async fn plain(
        &self,
        origin: &Arc<Origin>,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        let named = authority(&request).map(|found| found.host().to_ascii_lowercase());
        let target = Target {
            host: named.unwrap_or_default(),
            port: origin.destination.port(),
            is_tls: false,
        };
        let conn = Conn { origin: Arc::clone(origin), target };
        // SECURITY: an endpoint that is meant for TLS is not reached in the clear. Port 80 is, where the
        // bundle lists it.
        let memory = self.proxy.resolver.memory();
        let detail = if conn.target.port != HTTP_PORT {
            "plain HTTP to a port that is meant for TLS"
        } else if memory.is_known(&conn.target.host, origin.destination.ip()) {
            // No certificate proves a plain name; only our own answer to the agent's query does.
            return self.exchange(&conn, request).await;
        } else {
            "plain HTTP to an address that was not resolved for this name"
        };
        let denied = Denied::because(DenyReason::NotAnEndpoint);
        enforce::refuse(&self.proxy.enforcer, &conn, Some(detail.to_owned()), denied)
    }

    async fn exchange(&self, conn: &Conn, request: Request<Incoming>) -> Response<AnswerBody> {
        let refuse = |denied, detail: &str| {
            enforce::refuse(&self.proxy.enforcer, conn, Some(detail.to_owned()), denied)
        };
        match upgrade::asked(&request) {
            Some(Upgrade::WebSocket) => {
                let answer = refuse(enforce::no_websocket(), "a WebSocket");
                return enforce::unopened(answer, request.version());
            }
            Some(Upgrade::Other(detail)) => {
                return refuse(Denied::because(DenyReason::UpgradeUnsupported), detail);
            }
            None => {}
        }
        match check(&request, &conn.target) {
            Ok(()) => enforce::exchange(&self.proxy.enforcer, conn, request).await,
            Err((reason, detail)) => refuse(Denied::because(reason), detail),
        }
    }
}

/// Authority = server name = endpoint, or the request is refused.
fn check<B>(request: &Request<B>, target: &Target) -> Result<(), (DenyReason, &'static str)> {
    if let Some(why) = path::ambiguity(request.uri().path()) {
        return Err((DenyReason::ProtocolError, why));
    }
    let authority = authority(request).map_err(|why| (DenyReason::ProtocolError, why))?;
    let default = if target.is_tls { 443 } else { 80 };
    let is_same = authority.host().eq_ignore_ascii_case(&target.host)
        && authority.port_u16().unwrap_or(default) == target.port
        && !authority.as_str().contains('@');
    if is_same {
        Ok(())
    } else {
        Err((DenyReason::AuthorityMismatch, "authority and server name differ"))
    }
}

/// The one authority of a request. RFC 9112 section 3.2 and RFC 9113 section 8.3.1: all places that
/// name one must agree.
fn authority<B>(request: &Request<B>) -> Result<Authority, &'static str> {
    if request.headers().get_all(HOST).iter().count() > 1 {
        // RFC 9112 section 3.2: even if they agree.
        return Err("more than one `Host`");
    }
    let mut named = request.uri().authority().cloned();
    if let Some(value) = request.headers().get(HOST) {
        let host = value.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
        let host = host.ok_or("`Host` is not an authority")?;
        match &named {
            Some(first) if !first.as_str().eq_ignore_ascii_case(host.as_str()) => {
                return Err("two different authorities in one request");
            }
            _ => named = Some(host),
        }
    }
    if request.version() < Version::HTTP_11 && named.is_none() {
        return Err("HTTP/1.0 without `Host`");
    }
    named.ok_or("no authority")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_host(uri: &str, hosts: &[&str]) -> Result<(), DenyReason> {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let target = Target { host: "api.openai.com".into(), port: 443, is_tls: true };
        check(&request.body(()).unwrap(), &target).map_err(|(reason, _)| reason)
    }

    #[test]
    fn only_the_proven_host_is_served() {
        assert_eq!(check_host("/v1", &["api.openai.com"]), Ok(()));
        assert_eq!(check_host("/v1", &["API.OpenAI.com:443"]), Ok(()));
        assert_eq!(check_host("https://api.openai.com/v1", &[]), Ok(()));
        let mismatch = Err(DenyReason::AuthorityMismatch);
        assert_eq!(check_host("/v1", &["evil.example"]), mismatch);
        assert_eq!(check_host("/v1", &["api.openai.com:8443"]), mismatch);
        assert_eq!(check_host("https://evil.example/v1", &[]), mismatch);
        assert_eq!(check_host("/v1", &["user@api.openai.com"]), mismatch);
        let invalid = Err(DenyReason::ProtocolError);
        assert_eq!(check_host("/v1", &[]), invalid);
        assert_eq!(check_host("/v1", &["api.openai.com", "evil.example"]), invalid);
        assert_eq!(check_host("https://api.openai.com/", &["evil.example"]), invalid);
    }
}
