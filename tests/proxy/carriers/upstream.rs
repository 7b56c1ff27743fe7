// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The way to the provider: proven, kept warm, replaced when it breaks, and refused in the provider's
//! shape when it cannot be had.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use enforcer_tests::Authority;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{H1, H2, chat, chat_request, request};
use crate::provider::{Seen, full, listen, server_config};
use crate::rig::{CHATS, HOST, HTTP, Rig, outcome};

/// Expects a refusal in the provider's shape, recorded with its reason.
async fn check(rig: &Rig, reason: &str) {
    let (head, answer) = rig.ask(chat_request(&chat("gpt-4.1", false, "hi"))).await;
    assert_eq!(head.status, 502, "{answer}");
    let closed = rig.closed(1).await;
    assert_eq!(head.headers["x-enforcer-denied"], reason, "{closed:?}");
    assert_eq!(head.headers["x-should-retry"], "false");
    let json: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(json["error"]["code"], format!("enforcer_{reason}"));
    assert_eq!(outcome(&closed[0]), reason);
    assert_eq!(closed[0].status, Some(502));
    assert!(closed[0].detail.as_ref().unwrap().contains(HOST), "{closed:?}");
}

async fn serve_with(rig: &Rig, tls: Arc<rustls::ServerConfig>) {
    let address = listen(tls, Seen::default(), |_stream| async {
        panic!("a connection that is not proven carries nothing")
    });
    rig.resolve(HOST, address.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_whose_certificate_nobody_knows_is_refused() {
    let rig = Rig::start(CHATS).await;
    let stranger = Authority::new("stranger").unwrap();
    serve_with(&rig, server_config(&stranger, HOST, H1)).await;
    check(&rig, "upstream_certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_whose_certificate_is_for_another_name_is_refused() {
    let rig = Rig::start(CHATS).await;
    serve_with(&rig, server_config(&rig.authority, "evil.example", H1)).await;
    check(&rig, "upstream_certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_whose_certificate_is_over_is_refused() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let mut leaf = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    (leaf.not_before, leaf.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    let rig = Rig::trusting(CHATS, &pem).await;
    serve_with(&rig, Arc::new(config)).await;
    check(&rig, "upstream_certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_is_refused() {
    check(&Rig::start(CHATS).await, "upstream_name").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_refuses_is_unreachable() {
    let rig = Rig::start(CHATS).await;
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    rig.resolve(HOST, listener.local_addr().unwrap());
    drop(listener);
    check(&rig, "upstream_unreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_up_instead_of_answering_is_unreachable() {
    let rig = Rig::start(CHATS).await;
    let tls = server_config(&rig.authority, HOST, H1);
    let serve = |mut stream: tokio_rustls::server::TlsStream<_>| async move {
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
    };
    rig.resolve(HOST, listen(tls, Seen::default(), serve).await);
    check(&rig, "upstream_unreachable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_the_provider_are_used_again_by_other_clients() {
    for alpn in [H1, H2] {
        let rig = Rig::start(HTTP).await;
        let seen = rig.provider(alpn, |_, _| full("text/plain", "ok")).await;
        for count in 1..=3 {
            let (head, answer) = rig.ask(request("GET", "/a", "")).await;
            assert_eq!((head.status.as_u16(), answer.as_str()), (200, "ok"));
            // The connection is given back after the end of the body, which the agent may see first.
            rig.closed(count).await;
        }
        assert_eq!((seen.requests().len(), seen.connections()), (3, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_the_provider_closed_is_replaced_unseen() {
    let rig = Rig::start(CHATS).await;
    let seen = Seen::default();
    let tls = server_config(&rig.authority, HOST, H1);
    let serve = |mut stream: tokio_rustls::server::TlsStream<_>| async move {
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        // It promises to keep the connection, and does not.
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                       content-length: 2\r\n\r\n{}";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    rig.resolve(HOST, listen(tls, seen.clone(), serve).await);
    for count in 1..=4 {
        let (head, answer) = rig.ask(chat_request(&chat("gpt-4.1", false, "hi"))).await;
        assert_eq!((head.status.as_u16(), answer.as_str()), (200, "{}"));
        rig.closed(count).await;
        while seen.ended.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(seen.connections(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_of_http_is_translated_to_the_other() {
    for (downstream, upstream) in [(H1, H1), (H1, H2), (H2, H1), (H2, H2)] {
        let rig = Rig::start(CHATS).await;
        let seen =
            rig.provider(upstream, |_, _| full("application/json", r#"{"a":"b@c.de"}"#)).await;
        let content = chat("gpt-4.1", false, "to b@c.de");
        let mut request = chat_request(&content);
        *request.uri_mut() =
            "https://api.openai.com/v1/chat/completions?api-version=1".parse().unwrap();
        let (head, answer) = rig.client(downstream).await.whole(request).await;
        assert_eq!((head.status.as_u16(), answer.as_str()), (200, r#"{"a":"[email]"}"#));
        let (head, body) = seen.requests().remove(0);
        assert_eq!(head.uri.path_and_query().unwrap(), "/v1/chat/completions?api-version=1");
        assert_eq!(head.headers["authorization"], "Bearer sk-test");
        let named = head.headers.get("host").map(|it| it.to_str().unwrap());
        let named = head.uri.authority().map(|it| it.as_str()).or(named);
        assert_eq!(named, Some(HOST));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["messages"][0]["content"], "to [email]");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_address_alone_is_never_dialed() {
    let rig = Rig::start(CHATS).await;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let made_up = SocketAddr::new(listener.local_addr().unwrap().ip(), 443);
    rig.destined(made_up);
    check(&rig, "upstream_name").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_read_nothing_do_not_hold_up_others_at_the_same_provider() {
    use http_body_util::{BodyExt as _, Full};
    let rig = Rig::start(HTTP).await;
    // Each large answer is more than a stream may hold, all together more than one connection may.
    let answer = |head: &hyper::http::request::Parts, _: &bytes::Bytes| {
        let size = if head.uri.path() == "/large" { 4 << 20 } else { 2 };
        hyper::Response::new(Full::new(bytes::Bytes::from(vec![b'x'; size])).boxed())
    };
    rig.provider(H2, answer).await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        let mut client = rig.client(H1).await;
        let answer = client.send(request("GET", "/large", "")).await;
        idle.push((client, answer));
    }
    assert_eq!(rig.ask(request("GET", "/small", "")).await.1, "xx");
    drop(idle);
}

/// A provider of HTTP/1.1 that answers the first request of a connection with these bytes, and again and again if it
/// `repeats`.
async fn answering(rig: &Rig, bytes: &'static [u8], repeats: bool) -> Seen {
    let seen = Seen::default();
    let tls = server_config(&rig.authority, HOST, H1);
    let serve = move |mut stream: tokio_rustls::server::TlsStream<_>| async move {
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        while stream.write_all(bytes).await.is_ok() && repeats {}
        drop(stream.flush().await);
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    rig.resolve(HOST, listen(tls, seen.clone(), serve).await);
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_valid_http_is_told_as_such() {
    for bytes in [
        &b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhidden"[..],
        b"HTTP/1.1 101 Switching Protocols\r\ncontent-length: 6\r\n\r\nhidden",
        b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx y: z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nabc",
        b"\0\0\0\x04\0\0\0\0\0",
    ] {
        let rig = Rig::start(CHATS).await;
        answering(&rig, bytes, false).await;
        check(&rig, "upstream_protocol").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_without_end_are_not_waited_for() {
    for bytes in [&b"HTTP/1.1 100 Continue\r\n\r\n"[..], b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\n"] {
        let rig = Rig::start(CHATS).await;
        answering(&rig, bytes, true).await;
        check(&rig, "upstream_protocol").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_interim_answers_are_no_fault() {
    let rig = Rig::start(CHATS).await;
    let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n\
                  content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    answering(&rig, bytes, false).await;
    let (head, answer) = rig.ask(chat_request(&chat("gpt-4.1", false, "hi"))).await;
    assert_eq!((head.status.as_u16(), answer.as_str()), (200, "{}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_valid_http2_is_told_as_such() {
    use crate::carriers::frames::{DATA, HEADERS, Provider, allows, frame, head};
    let interim = head(1, false, &[(":status", "103")]).repeat(200);
    for bytes in [
        head(1, false, &[(":status", "200"), ("X", "y")]),
        head(1, false, &[(":status", "200"), (":status", "200")]),
        head(1, true, &[(":status", "200"), ("content-length", "5")]),
        frame(HEADERS, 4, 1, &[0x80]),
        frame(DATA, 0, 0, b"x"),
        frame(DATA, 0, 1, b"before any head"),
        interim,
    ] {
        let rig = Rig::start(CHATS).await;
        let mut provider = Provider::start(&rig).await;
        let ((), _provided) = tokio::join!(check(&rig, "upstream_protocol"), async {
            let mut provided = provider.connection().await;
            provided.send(&allows(9)).await;
            assert_eq!(provided.asked().await, 1);
            provided.send(&bytes).await;
            provided
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_as_long_as_it_says_is_neither_whole_nor_the_next_ones_beginning() {
    // Shorter: what came reaches the agent, and then the failure.
    let rig = Rig::start(HTTP).await;
    let tls = server_config(&rig.authority, HOST, H1);
    let serve = |mut stream: tokio_rustls::server::TlsStream<_>| async move {
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").await.unwrap();
    };
    rig.resolve(HOST, listen(tls, Seen::default(), serve).await);
    let answer = rig.client(H1).await.send(request("GET", "/a", "")).await;
    assert!(http_body_util::BodyExt::collect(answer.into_body()).await.is_err());
    assert_eq!(outcome(&rig.closed(1).await[0]), "upstream_unreachable");
    // Longer: the rest is nobody's answer.
    let rig = Rig::start(HTTP).await;
    let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\
                  content-length: 4\r\n\r\nevil";
    let seen = answering(&rig, bytes, false).await;
    for count in 1..=2 {
        assert_eq!(rig.ask(request("GET", "/a", "")).await.1, "ok");
        rig.closed(count).await;
    }
    assert_eq!(seen.connections(), 2);
}
