// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections that never become an exchange: each is refused, told, and recorded once.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use enforcer_core::model::AgentName;

use crate::client::{H1, H2, config, read_all};
use crate::provider::full;
use crate::rig::{CHATS, DESTINATION, HOST, HTTP, LIMIT, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_without_a_served_name_gets_the_alert_that_says_so() {
    let port = "an endpoint of the bundle has this host, but not port 443";
    for (name, reason, detail) in [
        (None, "sni_missing", ""),
        (Some("evil.example"), "not_an_endpoint", ""),
        // An endpoint, but at another port than the connection went to.
        (Some("plain.example.com"), "not_an_endpoint", port),
    ] {
        let rig = Rig::start(CHATS).await;
        let mut config = (*config(&rig.ca, &[H1])).clone();
        config.enable_sni = name.is_some();
        let server = ServerName::try_from(name.unwrap_or(HOST)).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let error = connector.connect(server, rig.tcp().await).await.unwrap_err().to_string();
        assert!(error.contains("AccessDenied"), "{error}");
        let (server_name, recorded, why) = rig.refused().await;
        assert_eq!((server_name.as_deref(), recorded, why.as_str()), (name, reason, detail));
    }
}

/// A DNS query for the address of a name (RFC 1035 section 4.1).
fn query(name: &str) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_served_only_at_an_address_that_we_gave_for_the_name() {
    let rig = Rig::start(HTTP).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.resolve("plain.example.com", listener.local_addr().unwrap());
    rig.destined(SocketAddr::new(DESTINATION.ip(), 80));
    let head = b"GET /a HTTP/1.1\r\nhost: plain.example.com\r\nconnection: close\r\n\r\n";
    let mut stream = rig.tcp().await;
    stream.write_all(head).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let (server_name, reason, _) = rig.refused().await;
    assert_eq!((server_name.as_deref(), reason), (Some("plain.example.com"), "not_an_endpoint"));

    let told = rig.resolver.answer(&AgentName::new("support"), &query("plain.example.com")).await;
    assert!(told.reply.is_some());
    let mut stream = rig.tcp().await;
    stream.write_all(head).await.unwrap();
    let (mut upstream, _) = tokio::time::timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    let mut seen = vec![0; 1024];
    let count = upstream.read(&mut seen).await.unwrap();
    let seen = String::from_utf8_lossy(&seen[..count]).into_owned();
    assert!(seen.starts_with("GET /a HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("host: plain.example.com\r\n"), "{seen}");
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_neither_tls_nor_http_are_refused_and_recorded() {
    for garbage in
        [&b"SSH-2.0-OpenSSH_9\r\n"[..], b"\x16\x03\x01\xff\xff\xff", b"\0\0\0\x08\x04\xd2"]
    {
        let rig = Rig::start(CHATS).await;
        let mut stream = rig.tcp().await;
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(read_all(&mut stream).await, "");
        assert_eq!(rig.refused().await.1, "protocol_error", "{garbage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_in_the_clear_is_refused_and_recorded() {
    let rig = Rig::start(HTTP).await;
    rig.destined(SocketAddr::new(DESTINATION.ip(), 80));
    let mut stream = rig.tcp().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    read_all(&mut stream).await;
    assert_eq!(rig.refused().await.1, "protocol_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_inside_an_opened_connection_is_recorded() {
    let rig = Rig::start(CHATS).await;
    let answer = rig.raw(b"\x01\x02\x03\x04 garbage\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let (server_name, reason, _) = rig.refused().await;
    assert_eq!((server_name.as_deref(), reason), (Some(HOST), "protocol_error"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_an_origin_is_cut_off() {
    let (rig, provider) = Rig::with_stand_in(HTTP).await;
    *rig.origins.0.lock().unwrap() = None;
    let mut stream = rig.tcp().await;
    assert_eq!(read_all(&mut stream).await, "");
    assert_eq!(provider.log().connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_trust_the_ca_is_one_event_with_process_and_endpoint() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let rig = Rig::start(CHATS).await;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(HOST).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        assert!(connector.connect(name, rig.tcp().await).await.is_err());
        let (server_name, reason, _) = rig.refused().await;
        assert_eq!((server_name.as_deref(), reason), (Some(HOST), "ca_untrusted"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protocol_that_the_client_does_not_offer_is_not_spoken() {
    let rig = Rig::start(HTTP).await;
    rig.provider(H1, |_, _| full("text/plain", "ok")).await;
    let stream = rig.tls(HOST, H2).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(H2));
    let name = ServerName::try_from(HOST).unwrap();
    let connector = TlsConnector::from(config(&rig.ca, &[]));
    let mut stream = connector.connect(name, rig.tcp().await).await.unwrap();
    let head = b"GET /a HTTP/1.1\r\nhost: api.openai.com\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("ok"));
}
