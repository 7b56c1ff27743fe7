// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Chats that cannot be understood: refused unless a rule permits it, and recorded with their cause.

use bytes::Bytes;
use enforcer_core::model::{Opaque, OpaqueCause, Operation, limits};
use enforcer_core::record::{Event, Unstored};
use tokio::io::AsyncWriteExt as _;

use crate::client::{H1, H2, request};
use crate::provider::full;
use crate::rig::{CHATS, HOST, OPAQUE, Rig, opened, refused};

const PATH: &str = "/v1/chat/completions";

struct Case {
    cause: OpaqueCause,
    encoding: Option<&'static str>,
    content: Bytes,
}

fn cases() -> Vec<Case> {
    let case = |cause, encoding, content: &str| Case {
        cause,
        encoding,
        content: Bytes::copy_from_slice(content.as_bytes()),
    };
    let twice = r#"{"model":"gpt-4.1","model":"o3","messages":[]}"#;
    let chat = r#"{"model":"gpt-4.1","messages":[]}"#;
    let large = vec![b' '; limits::REQUEST_BODY_BYTES_MAX + 1];
    vec![
        case(OpaqueCause::NotJson, None, "model=gpt-4.1"),
        case(OpaqueCause::NotJson, None, ""),
        case(OpaqueCause::Encoding, Some("gzip"), chat),
        case(OpaqueCause::Encoding, Some("identity, br"), chat),
        case(OpaqueCause::Fields, None, twice),
        case(OpaqueCause::Fields, None, r#"{"model":["gpt-4.1"],"messages":[]}"#),
        Case { cause: OpaqueCause::TooLarge, encoding: None, content: large.into() },
    ]
}

fn judged(operation: &Operation) -> &Opaque {
    match operation {
        Operation::Opaque(opaque) => opaque,
        other => panic!("not opaque: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_refused_and_recorded_with_its_cause() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    let mut count = 0;
    for alpn in [H1, H2] {
        for Case { cause, encoding, content } in cases() {
            let mut request = request("POST", PATH, content);
            if let Some(encoding) = encoding {
                request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
            }
            let (head, answer) = rig.client(alpn).await.whole(request).await;
            assert_eq!(head.status, 403, "{cause:?}: {answer}");
            assert_eq!(head.headers["x-enforcer-denied"], "policy");
            count += 1;
            let opened = rig.opened(count).await;
            let found = judged(&opened[count - 1].facts.operation);
            assert_eq!(found.cause, cause);
            assert_eq!((found.method.as_str(), found.path.as_str()), ("POST", PATH));
            assert_eq!(opened[count - 1].request, None, "what cannot be masked is not stored");
            let why = match cause {
                OpaqueCause::TooLarge => Unstored::Denied,
                _ => Unstored::Unreadable,
            };
            assert_eq!(opened[count - 1].request_unstored, Some(why), "{cause:?}");
        }
    }
    assert_eq!(provider.log().connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_permits_is_forwarded_byte_by_byte() {
    let rig = Rig::start(OPAQUE).await;
    let seen = rig.provider(H1, |_, _| full("application/json", "{}")).await;
    for alpn in [H1, H2] {
        for Case { cause, encoding, content } in cases() {
            let mut request = request("POST", PATH, content.clone());
            if let Some(encoding) = encoding {
                request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
            }
            let (head, answer) = rig.client(alpn).await.whole(request).await;
            assert_eq!(head.status, 200, "{cause:?}: {answer}");
            let (head, received) = seen.requests().pop().unwrap();
            assert!(received == content, "{cause:?}: {} bytes arrived", received.len());
            let forwarded = head.headers.get("content-encoding");
            assert_eq!(forwarded.map(|it| it.to_str().unwrap()), encoding);
        }
    }
}

/// A body that is declared longer than it is, and then the end of the connection.
async fn cut_off(rig: &Rig) {
    let mut stream = rig.tls(HOST, H1).await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(br#"{"model":"gpt-4.1","messages":["#).await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_is_cut_off_is_refused_and_recorded_whatever_the_rules_say() {
    for rules in [CHATS, OPAQUE] {
        let (rig, provider) = Rig::with_stand_in(rules).await;
        cut_off(&rig).await;
        let opened = rig.opened(1).await;
        assert_eq!(judged(&opened[0].facts.operation).cause, OpaqueCause::Truncated);
        assert!(opened[0].denied.is_some());
        assert_eq!(provider.log().connections(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resets_a_chat_stream_midway_is_recorded_as_cut_off() {
    use http_body_util::{BodyExt as _, Channel};
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    let (mut content, body) = Channel::<Bytes, std::io::Error>::new(1);
    content.send_data(Bytes::from_static(br#"{"model":"#)).await.unwrap();
    let body = body.map_err(Into::into).boxed();
    let request = request("POST", PATH, "").map(|_| body);
    let mut client = rig.client(H2).await;
    let sending = tokio::spawn(async move { client.send(request).await });
    // There is room for another piece once the first one is on its way, behind the head.
    content.send_data(Bytes::from_static(br#""gpt-4.1""#)).await.unwrap();
    // The abort is an error of the body, which resets the stream.
    content.abort(std::io::Error::other("left"));
    // The reset either ends the body first, which is judged, or the exchange, which is written down.
    let is_there = |events: &[Event]| !opened(events).is_empty() || !refused(events).is_empty();
    let events = rig.until("the request that broke off", is_there).await;
    for opened in opened(&events) {
        assert_eq!(judged(&opened.facts.operation).cause, OpaqueCause::Truncated);
    }
    for (_, reason, detail) in refused(&events) {
        assert_eq!(
            (reason, detail.as_str()),
            ("protocol_error", "the client left before its request was judged")
        );
    }
    assert_eq!(provider.log().connections(), 0);
    sending.abort();
}
