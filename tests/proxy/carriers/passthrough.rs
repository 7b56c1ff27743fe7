// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Passed-through TLS: judged by name, spliced byte by byte, or refused before a byte goes upstream.

use enforcer_core::record::EventBody;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::client::{H1, config, read_all};
use crate::rig::{CHATS, LIMIT, Rig};

const SEALED: &str = "sealed.example.com";
const CONNECT: &str = r#"
@id("sealed")
permit (principal, action == Action::"connect", resource == Endpoint::"sealed");
"#;

/// The first flight of a client that asks for the sealed host.
fn hello(rig: &Rig) -> Vec<u8> {
    let name = ServerName::try_from(SEALED).unwrap();
    let mut client = ClientConnection::new(config(&rig.ca, &[H1]), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permitted_tunnel_passes_every_byte_and_is_recorded_with_their_number() {
    let rig = Rig::start(CONNECT).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.resolve(SEALED, listener.local_addr().unwrap());
    let hello = hello(&rig);
    let mut agent = rig.tcp().await;
    agent.write_all(&hello).await.unwrap();
    let (mut server, _) = tokio::time::timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    let mut seen = vec![0; hello.len()];
    server.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, hello);
    server.write_all(b"answer").await.unwrap();
    drop(server);
    assert_eq!(read_all(&mut agent).await, "answer");
    drop(agent);
    let events = rig
        .until("the end of the tunnel", |events| {
            events.iter().any(|event| matches!(event.body, EventBody::TunnelClosed { .. }))
        })
        .await;
    let passed = events.iter().find_map(|event| match event.body {
        EventBody::TunnelClosed { bytes_up, bytes_down, .. } => Some((bytes_up, bytes_down)),
        _ => None,
    });
    assert_eq!(passed, Some((hello.len() as u64, 6)));
    let opened = rig.opened(1).await;
    assert_eq!(opened[0].facts.operation.action(), "connect");
    assert!(opened[0].denied.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_no_rule_permits_is_refused_before_a_byte_goes_upstream() {
    let rig = Rig::start(CHATS).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.resolve(SEALED, listener.local_addr().unwrap());
    let mut agent = rig.tcp().await;
    agent.write_all(&hello(&rig)).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(LIMIT, agent.read_to_end(&mut answer)).await;
    drop(read.expect("the other side does not close"));
    // A fatal alert (RFC 8446 section 6): `access_denied`.
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 49]);
    assert!(rig.opened(1).await[0].denied.is_some());
    let waiting =
        std::future::poll_fn(|cx| std::task::Poll::Ready(listener.poll_accept(cx).is_ready()));
    assert!(!waiting.await, "a connection went upstream");
}
