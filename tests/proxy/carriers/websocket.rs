// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A WebSocket that may not be opened: the answer by which its client falls back to plain requests at once.

use hyper::ext::Protocol;
use hyper::http::response::Parts;
use serde_json::Value;

use crate::client::{H1, H2, chat, chat_request, request};
use crate::provider::full;
use crate::rig::{CHATS, HTTP, Rig};

/// The handshake of RFC 6455 section 4.1.
const HANDSHAKE: &str = "GET /v1/responses HTTP/1.1\r\nhost: api.openai.com\r\nconnection: Upgrade\r\n\
                         upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn expect_refusal(body: &str) {
    let error: Value = serde_json::from_str(body).unwrap();
    assert_eq!(error["error"]["code"], "enforcer_upgrade_unsupported", "{body}");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("a WebSocket is not opened here"), "{message}");
    assert!(message.contains("plain HTTP request"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_over_http_1_is_answered_426_and_its_connection_is_closed() {
    let (rig, provider) = Rig::with_stand_in(HTTP).await;
    // A frame that its client sends without waiting must not be read as another request.
    let early = "GET /v1/other HTTP/1.1\r\nhost: api.openai.com\r\n\r\n";
    let answer = rig.raw(format!("{HANDSHAKE}{early}").as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    for line in
        ["connection: close, upgrade", "upgrade: http/1.1", "content-type: application/json"]
    {
        assert!(head.lines().any(|found| found == line), "{line}: {head}");
    }
    assert!(head.contains("x-enforcer-denied: upgrade_unsupported"), "{head}");
    expect_refusal(body);
    let (server_name, reason, detail) = rig.refused().await;
    assert_eq!(server_name.as_deref(), Some("api.openai.com"));
    assert_eq!((reason, detail.as_str()), ("upgrade_unsupported", "a WebSocket"));
    assert_eq!(provider.log().connections(), 0);
}

/// The handshake of RFC 8441 section 4, for this protocol.
async fn extended_connect(rig: &Rig, protocol: &'static str) -> (Parts, String) {
    rig.provider(H1, |_, _| full("application/json", "{}")).await;
    let mut client = rig.client(H2).await;
    // The server's settings, which permit it, are there with the first answer.
    assert_eq!(client.whole(request("GET", "/v1/other", "")).await.0.status, 200);
    let mut connect = request("CONNECT", "/v1/responses", "");
    connect.extensions_mut().insert(Protocol::from_static(protocol));
    connect.headers_mut().remove("content-type");
    let answer = client.whole(connect).await;
    // Only the stream is over.
    assert_eq!(client.whole(request("GET", "/v1/other", "")).await.0.status, 200);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_over_http_2_is_answered_426_on_its_stream() {
    let rig = Rig::start(HTTP).await;
    let (head, body) = extended_connect(&rig, "websocket").await;
    assert_eq!(head.status, 426, "{body}");
    assert_eq!(head.headers["x-enforcer-denied"], "upgrade_unsupported");
    assert!(!head.headers.contains_key("upgrade") && !head.headers.contains_key("connection"));
    expect_refusal(&body);
    let (_, reason, detail) = rig.refused().await;
    assert_eq!((reason, detail.as_str()), ("upgrade_unsupported", "a WebSocket"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protocol_over_http_2_keeps_its_refusal() {
    let rig = Rig::start(HTTP).await;
    let (head, body) = extended_connect(&rig, "connect-udp").await;
    assert_eq!(head.status, 501, "{body}");
    assert_eq!(rig.refused().await.1, "upgrade_unsupported");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_refused_websocket_the_plain_request_is_served() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    assert!(rig.raw(HANDSHAKE.as_bytes()).await.starts_with("HTTP/1.1 426 "));
    let (head, answer) =
        rig.client(H1).await.whole(chat_request(&chat("gpt-4.1", false, "hi"))).await;
    assert_eq!(head.status, 200, "{answer}");
    assert_eq!(provider.log().connections(), 1);
}
