// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Nobody holds a place for longer than its bound. The clock stands still and jumps to the next bound
//! as soon as nothing else can happen.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Channel};
use hyper::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use crate::client::{H1, H2, request};
use crate::provider::full;
use crate::rig::{CHATS, HOST, HTTP, Rig, outcome};

/// Longer than any bound.
const AGES: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go_and_recorded() {
    let rig = Rig::start(CHATS).await;
    let mut stream = rig.tcp().await;
    tokio::time::pause();
    let mut buffer = [0; 16];
    assert_eq!(timeout(AGES, stream.read(&mut buffer)).await.expect("kept for ever").unwrap(), 0);
    assert_eq!(rig.refused().await.2, "silent for too long");
}

#[tokio::test]
async fn a_client_that_stops_inside_the_handshake_is_let_go_and_recorded() {
    use std::sync::Arc;
    let rig = Rig::start(CHATS).await;
    // A whole hello, and nothing after it.
    let name = rustls::pki_types::ServerName::try_from(HOST).unwrap();
    let config = crate::client::config(&rig.ca, &[H1]);
    let mut client = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let mut stream = rig.tcp().await;
    stream.write_all(&hello).await.unwrap();
    let mut buffer = [0; 16 * 1024];
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    tokio::time::pause();
    let end = async { while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
    timeout(AGES, end).await.expect("kept for ever");
    let (server_name, reason, _) = rig.refused().await;
    assert_eq!((server_name.as_deref(), reason), (Some(HOST), "limit"));
}

#[tokio::test]
async fn an_opened_connection_without_a_request_is_let_go() {
    for (alpn, first) in [
        (H1, &b""[..]),
        (H1, b"GET /v1/models HTTP/1.1\r\nho"),
        (H2, b""),
        (H2, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ] {
        let rig = Rig::start(CHATS).await;
        let mut stream = rig.tls(HOST, alpn).await;
        stream.write_all(first).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::pause();
        let mut buffer = [0; 4096];
        let end = async { while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
        timeout(AGES, end).await.unwrap_or_else(|_| panic!("kept for ever after {first:?}"));
        tokio::time::resume();
    }
}

#[tokio::test]
async fn an_idle_http2_connection_that_answers_pings_is_let_go_in_the_end() {
    let rig = Rig::start(HTTP).await;
    rig.provider(H1, |_, _| full("text/plain", "ok")).await;
    let mut client = rig.client(H2).await;
    assert_eq!(client.whole(request("GET", "/a", "")).await.1, "ok");
    rig.closed(1).await;
    let crate::client::Sender::H2(sender) = &client else { unreachable!() };
    // Real time would be a minute: time jumps whenever both ends wait, pings are answered between.
    tokio::time::pause();
    let start = Instant::now();
    while !sender.is_closed() {
        assert!(start.elapsed() < AGES, "kept for ever");
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The other end's thread of the kernel needs a moment of real time for each jump.
        tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
    }
}

#[tokio::test]
async fn an_upload_that_stops_is_refused_as_the_agents_fault() {
    for alpn in [H1, H2] {
        let rig = Rig::start(HTTP).await;
        rig.provider(H1, |_, _| full("text/plain", "ok")).await;
        let (mut content, body) = Channel::<Bytes>::new(1);
        content.send_data(Bytes::from_static(b"some")).await.unwrap();
        let body = body.map_err(|never| match never {}).boxed();
        let mut client = rig.client(alpn).await;
        let request = request("POST", "/v1/anything", "").map(|_| body);
        let sending = client.send_within(AGES, request);
        let (answer, ()) = tokio::join!(sending, async {
            rig.opened(1).await;
            // The writer of the record keeps real time: the exchange does not wait for it any more.
            rig.enforcer.journal.sync().await.unwrap();
            tokio::time::pause();
        });
        assert_eq!(answer.status(), 503);
        tokio::time::resume();
        assert_eq!(outcome(&rig.closed(1).await[0]), "limit");
        drop(content);
    }
}

#[tokio::test]
async fn a_reader_that_stops_is_let_go_and_the_provider_with_it() {
    for alpn in [H1, H2] {
        let rig = Rig::start(HTTP).await;
        let large = Bytes::from(vec![b'x'; 64 << 20]);
        rig.provider(H1, move |_, _| {
            Response::new(http_body_util::Full::new(large.clone()).boxed())
        })
        .await;
        let mut client = rig.client(alpn).await;
        let answer = client.send(request("GET", "/large", "")).await;
        tokio::time::pause();
        // The writer of the record keeps real time, so the bound here is the one of the record.
        assert_eq!(outcome(&rig.closed(1).await[0]), "aborted");
        tokio::time::resume();
        drop(answer);
    }
}

#[tokio::test]
async fn an_answer_that_stops_is_cut_off_as_the_providers_fault() {
    let rig = Rig::start(HTTP).await;
    let tls = crate::provider::server_config(&rig.authority, HOST, H1);
    let serve = |mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>| async move {
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab").await.unwrap();
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    rig.resolve(HOST, crate::provider::listen(tls, Default::default(), serve).await);
    let mut client = rig.client(H1).await;
    let mut body = client.send(request("GET", "/a", "")).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
    tokio::time::pause();
    let next = timeout(AGES, body.frame()).await.expect("kept for ever");
    assert!(next.unwrap().is_err());
    let closed = rig.closed(1).await;
    assert_eq!(outcome(&closed[0]), "upstream_unreachable");
}
