// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The stand-in provider itself: a suite that rests on it has to know that it behaves.
#![expect(clippy::unwrap_used, reason = "a test panics with the cause")]
#![expect(
    clippy::disallowed_methods,
    reason = "the harness has no supervisor; its tasks end with it"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use enforcer_tests::provider::{ANSWER, Options};
use enforcer_tests::{Authority, FakeUpstream};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const LIMIT: Duration = Duration::from_secs(20);

fn start() -> (Authority, FakeUpstream) {
    let authority = Authority::new("test").unwrap();
    let upstream = FakeUpstream::start(&authority, &Options::default()).unwrap();
    (authority, upstream)
}

async fn ask(
    (authority, upstream): &(Authority, FakeUpstream),
    alpn: &[u8],
    method: &str,
    path: &str,
    body: &Value,
) -> Response<Incoming> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = TcpStream::connect(upstream.address()).await.unwrap();
    let name = ServerName::try_from("api.openai.com").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let request = Request::builder()
        .method(method)
        .uri(format!("https://api.openai.com{path}"))
        .header("host", "api.openai.com")
        .header("authorization", "Bearer sk-test")
        .body(Full::<Bytes>::from(body.to_string()))
        .unwrap();
    let io = TokioIo::new(tls);
    if alpn == b"h2" {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }
}

async fn text(answer: Response<Incoming>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn chat(stream: bool) -> Value {
    json!({"model": "gpt-4.1", "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test]
async fn both_protocols_answer_and_requests_are_written_down() {
    let upstream = start();
    for (alpn, protocol) in [(&b"http/1.1"[..], "HTTP/1.1"), (b"h2", "HTTP/2.0")] {
        let answer = ask(&upstream, alpn, "POST", "/v1/chat/completions", &chat(false)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let json: Value = serde_json::from_str(&text(answer).await).unwrap();
        assert_eq!(json["choices"][0]["message"]["content"], ANSWER);
        let received = upstream.1.log().received();
        let last = received.last().unwrap();
        assert_eq!(last.protocol, protocol);
        assert_eq!(last.server_name, "api.openai.com");
        assert_eq!(last.json(), chat(false));
    }
}

#[tokio::test]
async fn a_held_stream_shows_its_first_event_before_the_last_is_sent() {
    let upstream = start();
    upstream.1.hold();
    for alpn in [&b"http/1.1"[..], b"h2"] {
        upstream.1.hold();
        let streams = upstream.1.log().streams().len();
        let answer = ask(&upstream, alpn, "POST", "/v1/chat/completions", &chat(true)).await;
        let mut body = answer.into_body();
        let first = tokio::time::timeout(LIMIT, body.frame()).await.unwrap().unwrap().unwrap();
        assert!(first.data_ref().unwrap().starts_with(b"data: {"));
        assert_eq!(upstream.1.log().streams().len(), streams, "the rest is still held");
        upstream.1.release();
        let rest = tokio::time::timeout(LIMIT, body.collect()).await.unwrap().unwrap().to_bytes();
        assert!(rest.ends_with(b"data: [DONE]\n\n"));
    }
}

#[tokio::test]
async fn unknown_paths_get_the_error_shape_of_the_provider() {
    let upstream = start();
    let answer = ask(&upstream, b"h2", "GET", "/v1/nothing", &Value::Null).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let json: Value = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!(json["error"]["code"], "unknown_url");
    let answer = ask(&upstream, b"h2", "POST", "/v1/traces/ingest", &json!({"data": []})).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}
