// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Providers that answer what a test wants, for what the stand-in never does.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use enforcer_tests::Authority;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::rig::{HOST, Rig};

pub(crate) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// What arrived and how often.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) connections: Arc<AtomicUsize>,
    /// Connections that ended.
    pub(crate) ended: Arc<AtomicUsize>,
    pub(crate) requests: Arc<Mutex<Vec<(Parts, Bytes)>>>,
}

impl Seen {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<(Parts, Bytes)> {
        self.requests.lock().unwrap().clone()
    }
}

/// The server configuration of the provider with one protocol.
pub(crate) fn server_config(authority: &Authority, host: &str, alpn: &[u8]) -> Arc<ServerConfig> {
    let config = authority.server_config(&[host.to_owned()]).unwrap();
    let mut config = (*config).clone();
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

/// Listens on loopback and hands each opened connection on.
pub(crate) async fn listen<F>(
    tls: Arc<ServerConfig>,
    seen: Seen,
    serve: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            seen.connections.fetch_add(1, Ordering::SeqCst);
            let (tls, serve, ended) = (Arc::clone(&tls), serve.clone(), Arc::clone(&seen.ended));
            tokio::spawn(async move {
                if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                    serve(stream).await;
                }
                ended.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    address
}

impl Rig {
    /// Puts a provider behind the name, that reads each request whole and answers by `answer`.
    pub(crate) async fn provider(
        &self,
        alpn: &[u8],
        answer: impl Fn(&Parts, &Bytes) -> Answer + Clone + Send + Sync + 'static,
    ) -> Seen {
        self.provider_of(HOST, alpn, answer).await
    }

    pub(crate) async fn provider_of(
        &self,
        host: &str,
        alpn: &[u8],
        answer: impl Fn(&Parts, &Bytes) -> Answer + Clone + Send + Sync + 'static,
    ) -> Seen {
        let seen = Seen::default();
        let tls = server_config(&self.authority, host, alpn);
        let (log, is_h2) = (seen.clone(), alpn == b"h2");
        let serve = move |stream| connection(stream, is_h2, log.clone(), answer.clone());
        let address = listen(tls, seen.clone(), serve).await;
        self.resolve(host, address);
        seen
    }
}

async fn connection(
    stream: TlsStream<TcpStream>,
    is_h2: bool,
    seen: Seen,
    answer: impl Fn(&Parts, &Bytes) -> Answer + Clone + Send + Sync + 'static,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, answer) = (seen.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let answered = answer(&head, &body);
            seen.requests.lock().unwrap().push((head, body));
            Ok::<_, hyper::Error>(answered)
        }
    });
    let io = TokioIo::new(stream);
    // How a connection ends is what the tests look at from the other side.
    drop(if is_h2 {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
    });
}

/// An answer with a body that is all there.
pub(crate) fn full(content_type: &str, content: impl Into<Bytes>) -> Answer {
    Response::builder()
        .header("content-type", content_type)
        .body(Full::new(content.into()).boxed())
        .unwrap()
}
