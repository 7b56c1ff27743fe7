// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a byte of a request may have reached the provider is known at any moment, whoever leaves when.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use enforcer_core::model::AgentName;
use enforcer_user::upstream::{Error, Lease, RequestBody, Target};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::server::TlsStream;

use crate::carriers::frames::{Provider, allows};
use crate::client::{H1, H2};
use crate::provider::{Seen, full, listen, server_config};
use crate::rig::{DESTINATION, HOST, HTTP, LIMIT, Rig};

fn target() -> Target {
    Target { host: HOST.to_owned(), port: 443, is_tls: true }
}

fn post() -> Request<RequestBody> {
    let body = Full::new(Bytes::from_static(b"pay")).map_err(|never| match never {});
    Request::post("/pay").body(body.boxed_unsync()).unwrap()
}

async fn send(rig: &Rig, sent: &AtomicBool) -> Result<(Response<Incoming>, Lease), Error> {
    let agent = AgentName::new("support");
    rig.enforcer.upstream.send(&target(), DESTINATION, &agent, post(), sent).await
}

/// Sends until `until` happens, and leaves then; says what was known.
async fn leaving(rig: &Rig, until: impl Future<Output = ()>) -> bool {
    let sent = AtomicBool::new(false);
    tokio::select! {
        answered = send(rig, &sent) => panic!("answered: {answered:?}"),
        () = until => {}
        () = tokio::time::sleep(LIMIT) => panic!("nothing happens"),
    }
    sent.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_the_provider_is_dialed_has_sent_nothing() {
    let rig = Rig::start(HTTP).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.resolve(HOST, listener.local_addr().unwrap());
    // The TLS handshake has begun, and does not end.
    let hello = async {
        let mut stream = listener.accept().await.unwrap().0;
        assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
    };
    assert!(!leaving(&rig, hello).await);
    // HTTP/2 was agreed on, and the server says nothing.
    let mut provider = Provider::start(&rig).await;
    let asked = async {
        let mut provided = provider.connection().await;
        assert!(provided.next().await.is_some());
    };
    assert!(!leaving(&rig, asked).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_when_the_provider_has_the_request_has_sent_it() {
    let rig = Rig::start(HTTP).await;
    let (sender, mut coming) = tokio::sync::mpsc::unbounded_channel();
    let serve = move |mut stream: TlsStream<tokio::net::TcpStream>| {
        let sender = sender.clone();
        async move {
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            sender.send(()).unwrap();
            while stream.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {}
        }
    };
    let tls = server_config(&rig.authority, HOST, H1);
    rig.resolve(HOST, listen(tls, Seen::default(), serve).await);
    assert!(leaving(&rig, async { coming.recv().await.unwrap() }).await);
    let mut provider = Provider::start(&rig).await;
    let asked = async {
        let mut provided = provider.connection().await;
        provided.send(&allows(1)).await;
        provided.asked().await;
    };
    assert!(leaving(&rig, asked).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_before_the_request_are_told_from_those_after_it() {
    let rig = Rig::start(HTTP).await;
    let sent = AtomicBool::new(false);
    let error = send(&rig, &sent).await.unwrap_err();
    assert!(matches!(error, Error::Name { .. }) && error.is_unsent());
    let tls = server_config(&rig.authority, "evil.example", H1);
    rig.resolve(HOST, listen(tls, Seen::default(), |_| async {}).await);
    let error = send(&rig, &sent).await.unwrap_err();
    assert!(matches!(error, Error::Certificate { .. }) && error.is_unsent());
    // HTTP/2 was agreed on, and the connection ends before the server has said anything.
    let tls = server_config(&rig.authority, HOST, H2);
    rig.resolve(HOST, listen(tls, Seen::default(), |_| async {}).await);
    let error = send(&rig, &sent).await.unwrap_err();
    assert!(error.is_unsent(), "{error:?}");
    assert!(!sent.load(Ordering::SeqCst));
    let tls = server_config(&rig.authority, HOST, H1);
    let serve = |mut stream: TlsStream<tokio::net::TcpStream>| async move {
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
    };
    rig.resolve(HOST, listen(tls, Seen::default(), serve).await);
    let error = send(&rig, &sent).await.unwrap_err();
    assert!(matches!(error, Error::Exchange { .. }) && !error.is_unsent());
    assert!(sent.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_kept_connection_gave_back_is_not_sent_until_the_next_one_has_it() {
    let rig = Rig::start(HTTP).await;
    let tls = server_config(&rig.authority, HOST, H1);
    // It answers once, promises to keep the connection, and closes it.
    let serve = |mut stream: TlsStream<tokio::net::TcpStream>| async move {
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let seen = Seen::default();
    rig.resolve(HOST, listen(tls, seen.clone(), serve).await);
    let sent = AtomicBool::new(false);
    let (answer, lease) = send(&rig, &sent).await.unwrap();
    assert_eq!((answer.status().as_u16(), sent.load(Ordering::SeqCst)), (200, true));
    lease.give_back();
    while seen.ended.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // Whether or not the end was noticed before the connection was lent again, nothing was sent on it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.resolve(HOST, listener.local_addr().unwrap());
    assert!(!leaving(&rig, async { drop(listener.accept().await.unwrap()) }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_an_answer_to_what_was_sent() {
    let rig = Rig::start(HTTP).await;
    rig.provider(H2, |_, _| full("text/plain", "ok")).await;
    let sent = AtomicBool::new(false);
    let (answer, lease) = send(&rig, &sent).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
    lease.give_back();
    assert!(sent.load(Ordering::SeqCst));
}
