// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The main job: chats are judged, masked both ways, streamed without delay.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::client::{H1, H2, chat, chat_request, whole};
use crate::provider::full;
use crate::rig::{CHATS, LIMIT, Rig, outcome};

const MAIL: &str = "maria.lopez@example.com";
const CARD: &str = "4111 1111 1111 1111";

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_chat_is_masked_on_its_way_to_the_provider_and_back() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    for (number, alpn) in [H1, H2].into_iter().enumerate() {
        let text = format!("Mail {MAIL} about card {CARD}, please.");
        let content = chat("gpt-4.1", false, &text);
        let (head, answer) = rig.client(alpn).await.whole(chat_request(&content)).await;
        assert_eq!(head.status, 200);
        let received = provider.log().received().remove(number);
        let prompt = received.json()["messages"][0]["content"].clone();
        assert_eq!(prompt, json!("Mail [email] about card [credit-card], please."));
        assert!(answer.contains("[email]") && answer.contains("[credit-card]"), "{answer}");
        assert!(!answer.contains(MAIL) && !answer.contains(CARD), "{answer}");
    }
    let closed = rig.closed(2).await;
    assert_eq!(closed.iter().map(outcome).collect::<Vec<_>>(), ["completed"; 2]);
    assert!(closed.iter().all(|it| it.masked == 2 && it.usage.is_some()), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_model_gets_the_providers_own_error_shape_and_never_reaches_it() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    for alpn in [H1, H2] {
        let content = chat("o3", false, "hi");
        let (head, answer) = rig.client(alpn).await.whole(chat_request(&content)).await;
        assert_eq!(head.status, 403);
        assert_eq!(head.headers["x-should-retry"], "false");
        assert_eq!(head.headers["x-enforcer-denied"], "policy");
        let json: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(json["error"]["type"], "enforcer_denied");
        assert_eq!(json["error"]["rules"], json!(["approved-models"]));
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains("approved-models") && message.contains("Use gpt-4.1."));
        let exchange = json["error"]["exchange"].as_str().unwrap();
        assert_eq!(head.headers["x-enforcer-exchange"], exchange);
    }
    assert_eq!(provider.log().connections(), 0);
    assert!(rig.opened(2).await.iter().all(|it| it.denied.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_of_a_stream_is_out_before_the_last_is_in() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    for (number, alpn) in [H1, H2].into_iter().enumerate() {
        provider.hold();
        let content = chat("gpt-4.1", true, "hi");
        let answer = rig.client(alpn).await.send(chat_request(&content)).await;
        let mut body = answer.into_body();
        let first = tokio::time::timeout(LIMIT, body.frame()).await.unwrap().unwrap().unwrap();
        assert!(first.into_data().unwrap().starts_with(b"data: {"));
        assert_eq!(provider.log().streams().len(), number, "the rest is still held");
        provider.release();
        let rest = tokio::time::timeout(LIMIT, body.collect()).await.unwrap().unwrap().to_bytes();
        assert!(rest.ends_with(b"data: [DONE]\n\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_answer_is_masked_across_event_borders() {
    let (rig, _provider) = Rig::with_stand_in(CHATS).await;
    for alpn in [H1, H2] {
        let content = chat("gpt-4.1", true, "hi");
        let (head, answer) = rig.client(alpn).await.whole(chat_request(&content)).await;
        assert_eq!(head.status, 200);
        let text: String = answer
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
            .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .collect();
        let expected = "Order A-1001 ships tomorrow. The receipt went to [email] and card \
                        [credit-card] was charged.";
        assert_eq!(text, expected);
        assert!(answer.ends_with("data: [DONE]\n\n"), "{answer}");
    }
    let closed = rig.closed(2).await;
    assert!(closed.iter().all(|it| outcome(it) == "completed" && it.masked == 2), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_json_breaks_ends_with_an_error_event_and_no_end_marker() {
    const STREAM: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"good\"}}]}\n\n\
                          data: {\"choices\":[{broken\n\ndata: [DONE]\n\n";
    let rig = Rig::start(CHATS).await;
    rig.provider(H1, |_, _| full("text/event-stream", Bytes::from_static(STREAM.as_bytes()))).await;
    let content = chat("gpt-4.1", true, "hi");
    let (head, answer) = rig.ask(chat_request(&content)).await;
    assert_eq!(head.status, 200);
    assert!(answer.contains("enforcer_response_undecodable"), "{answer}");
    assert!(!answer.contains("[DONE]") && !answer.contains("broken"), "{answer}");
    let last = answer.trim_end().rsplit("data: ").next().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["error"]["type"], "enforcer_denied");
    assert_eq!(outcome(&rig.closed(1).await[0]), "response_undecodable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_breaks_off_is_not_taken_for_an_agent_that_left() {
    let rig = Rig::start(CHATS).await;
    let seen = crate::provider::Seen::default();
    let tls = crate::provider::server_config(&rig.authority, crate::rig::HOST, H1);
    let serve = |mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>| async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        let start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                      transfer-encoding: chunked\r\n\r\n2\r\n:\n\r\n";
        stream.write_all(start).await.unwrap();
    };
    let address = crate::provider::listen(tls, seen, serve).await;
    rig.resolve(crate::rig::HOST, address);
    let answer = rig.client(H1).await.send(chat_request(&chat("gpt-4.1", true, "hi"))).await;
    assert!(answer.into_body().collect().await.is_err(), "a broken answer must not look whole");
    let closed = rig.closed(1).await;
    assert_eq!(outcome(&closed[0]), "upstream_unreachable", "{closed:?}");
    assert_eq!(closed[0].status, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_on_one_connection_are_judged_one_by_one() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    for alpn in [H1, H2] {
        let mut client = rig.client(alpn).await;
        for (model, status) in [("gpt-4.1", 200), ("o3", 403), ("gpt-4.1-mini", 200)] {
            let request = chat_request(&chat(model, false, "hi"));
            assert_eq!(whole(client.send(request).await).await.0.status, status, "{model}");
        }
    }
    assert_eq!(provider.log().received().len(), 4);
}
