// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What agents use: real TLS and HTTP clients, and bare bytes for what no client would send.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::http::response::Parts;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::rig::{HOST, LIMIT, Rig};

/// What a request of a test may be made of.
pub(crate) type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

pub(crate) const H1: &[u8] = b"http/1.1";
pub(crate) const H2: &[u8] = b"h2";

/// Either client.
pub(crate) enum Sender {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

impl Sender {
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        self.send_within(LIMIT, request).await
    }

    /// Sends and waits this long, by the clock of the runtime, for the head of the answer.
    pub(crate) async fn send_within(
        &mut self,
        limit: std::time::Duration,
        request: Request<Body>,
    ) -> Response<Incoming> {
        let sent = async {
            match self {
                Self::H1(sender) => {
                    sender.ready().await.unwrap();
                    sender.send_request(request).await
                }
                Self::H2(sender) => {
                    sender.ready().await.unwrap();
                    sender.send_request(request).await
                }
            }
        };
        tokio::time::timeout(limit, sent).await.unwrap().unwrap()
    }

    /// Sends and reads the whole answer.
    pub(crate) async fn whole(&mut self, request: Request<Body>) -> (Parts, String) {
        whole(self.send(request).await).await
    }
}

pub(crate) async fn whole(answer: Response<Incoming>) -> (Parts, String) {
    let (head, body) = answer.into_parts();
    let body = tokio::time::timeout(LIMIT, body.collect()).await.unwrap().unwrap().to_bytes();
    (head, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) fn config(ca: &str, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

impl Rig {
    pub(crate) async fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub(crate) async fn tls(&self, host: &str, alpn: &[u8]) -> TlsStream<TcpStream> {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let connector = TlsConnector::from(config(&self.ca, &[alpn]));
        connector.connect(name, self.tcp().await).await.unwrap()
    }

    /// A client of the provider.
    pub(crate) async fn client(&self, alpn: &[u8]) -> Sender {
        self.client_of(HOST, alpn).await
    }

    pub(crate) async fn client_of(&self, host: &str, alpn: &[u8]) -> Sender {
        let io = TokioIo::new(self.tls(host, alpn).await);
        if alpn == H2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            return Sender::H2(sender);
        }
        let (sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Sender::H1(sender)
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn ask(&self, request: Request<Body>) -> (Parts, String) {
        self.client(H1).await.whole(request).await
    }

    /// Sends bytes inside TLS and reads until the other side closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.tls(HOST, H1).await;
        // The other side may have said all it wants to say before it has read everything.
        drop(stream.write_all(bytes).await);
        read_all(&mut stream).await
    }
}

/// Reads to the end, orderly or not.
pub(crate) async fn read_all<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut seen = Vec::new();
    // A server that closes without the closing alert is an error to TLS; what came before counts.
    let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut seen)).await;
    drop(read.expect("the other side does not close"));
    String::from_utf8_lossy(&seen).into_owned()
}

pub(crate) fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

pub(crate) fn request(method: &str, path: &str, content: impl Into<Bytes>) -> Request<Body> {
    request_to(HOST, method, path, content)
}

pub(crate) fn request_to(
    host: &str,
    method: &str,
    path: &str,
    content: impl Into<Bytes>,
) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(format!("https://{host}{path}"))
        .header("host", host)
        .header("authorization", "Bearer sk-test")
        .header("content-type", "application/json")
        .body(body(content))
        .unwrap()
}

/// A chat of one user message.
pub(crate) fn chat(model: &str, stream: bool, text: &str) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]})
}

/// The request of a chat.
pub(crate) fn chat_request(content: &Value) -> Request<Body> {
    request("POST", "/v1/chat/completions", content.to_string())
}
