// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What comes back: masked or refused, without what belongs to another hop or leads elsewhere.

use crate::client::{H1, H2, chat, chat_request, request};
use crate::provider::full;
use crate::rig::{CHATS, HTTP, Rig, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn chats_ask_the_provider_for_an_answer_that_can_be_read() {
    let rig = Rig::start(&format!("{CHATS}{HTTP}")).await;
    let seen = rig.provider(H1, |_, _| full("application/json", "{}")).await;
    for path in ["/v1/chat/completions", "/v1/models"] {
        let content = chat("gpt-4.1", false, "hi").to_string();
        let mut request = request("POST", path, content);
        request.headers_mut().insert("accept-encoding", "gzip, br, zstd".parse().unwrap());
        assert_eq!(rig.ask(request).await.0.status, 200);
    }
    let encodings: Vec<_> =
        seen.requests().iter().map(|(head, _)| head.headers["accept-encoding"].clone()).collect();
    assert_eq!(encodings, ["identity", "identity"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_must_be_masked_and_cannot_be_read_is_refused() {
    for (content_type, encoding, content) in [
        ("application/json", Some("gzip"), "{}"),
        ("text/event-stream", Some("br"), "data: {}\n\n"),
        ("application/json", None, "{\"a\":"),
        ("application/json", None, "<html>"),
        ("text/html", None, "<p>maria.lopez@example.com"),
        ("application/octet-stream", None, "{}"),
    ] {
        let rig = Rig::start(CHATS).await;
        rig.provider(H1, move |_, _| {
            let mut answer = full(content_type, content);
            if let Some(encoding) = encoding {
                answer.headers_mut().insert("content-encoding", encoding.parse().unwrap());
            }
            answer
        })
        .await;
        let (head, answer) = rig.ask(chat_request(&chat("gpt-4.1", false, "hi"))).await;
        assert_eq!(head.status, 502, "{content_type} {encoding:?}");
        assert_eq!(head.headers["x-enforcer-denied"], "response_undecodable");
        assert!(!answer.contains("maria"), "{answer}");
        assert_eq!(outcome(&rig.closed(1).await[0]), "response_undecodable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_one_hop_or_leads_elsewhere_is_dropped() {
    for downstream in [H1, H2] {
        let rig = Rig::start(HTTP).await;
        let seen = rig
            .provider(H1, |_, _| {
                let mut answer = full("text/plain", "ok");
                for (name, value) in [
                    ("alt-svc", "h3=\":443\"; ma=86400"),
                    ("connection", "x-hop"),
                    ("x-hop", "1"),
                    ("keep-alive", "timeout=5"),
                    ("proxy-authenticate", "Basic"),
                    ("trailer", "x-after"),
                    ("x-enforcer-denied", "policy"),
                    ("x-enforcer-exchange", "0000000000000001-1"),
                    ("x-request-id", "req_1"),
                ] {
                    answer.headers_mut().insert(name, value.parse().unwrap());
                }
                answer
            })
            .await;
        let mut request = request("GET", "/a", "");
        if downstream == H1 {
            request.headers_mut().insert("connection", "keep-alive, x-secret".parse().unwrap());
            request.headers_mut().insert("keep-alive", "timeout=5".parse().unwrap());
        }
        for (name, value) in
            [("x-secret", "1"), ("te", "trailers"), ("proxy-authorization", "Basic eDp5")]
        {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (head, answer) = rig.client(downstream).await.whole(request).await;
        assert_eq!(answer, "ok");
        let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "content-type", "date", "x-request-id"]);
        let (head, _) = seen.requests().remove(0);
        let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept-encoding", "authorization", "content-type", "host"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_provider_keep_their_status_and_are_masked() {
    let rig = Rig::start(CHATS).await;
    rig.provider(H1, |_, _| {
        let text = r#"{"error":{"message":"quota of maria.lopez@example.com","code":"quota"}}"#;
        let mut answer = full("application/json; charset=utf-8", text);
        *answer.status_mut() = hyper::StatusCode::TOO_MANY_REQUESTS;
        answer.headers_mut().insert("retry-after", "7".parse().unwrap());
        answer
    })
    .await;
    for alpn in [H1, H2] {
        let (head, answer) =
            rig.client(alpn).await.whole(chat_request(&chat("gpt-4.1", true, "hi"))).await;
        assert_eq!(head.status, 429);
        assert_eq!(head.headers["retry-after"], "7");
        assert!(!head.headers.contains_key("x-enforcer-denied"));
        assert_eq!(answer, r#"{"error":{"message":"quota of [email]","code":"quota"}}"#);
    }
    let closed = rig.closed(2).await;
    assert!(closed.iter().all(|it| outcome(it) == "completed" && it.status == Some(429)));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_are_whole() {
    let rig = Rig::start(HTTP).await;
    rig.provider(H1, |head, _| {
        let mut answer = full("text/plain", "");
        *answer.status_mut() = if head.uri.path() == "/204" {
            hyper::StatusCode::NO_CONTENT
        } else {
            hyper::StatusCode::NOT_MODIFIED
        };
        answer
    })
    .await;
    let mut count = 0;
    for alpn in [H1, H2] {
        let mut client = rig.client(alpn).await;
        for (method, path, status) in
            [("GET", "/204", 204), ("GET", "/304", 304), ("HEAD", "/", 304)]
        {
            let (head, answer) = client.whole(request(method, path, "")).await;
            assert_eq!((head.status.as_u16(), answer.as_str()), (status, ""));
            count += 1;
        }
    }
    assert!(rig.closed(count).await.iter().all(|it| outcome(it) == "completed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expectation_is_answered_here_and_not_asked_twice() {
    let rig = Rig::start(HTTP).await;
    let seen = rig.provider(H1, |_, _| full("text/plain", "ok")).await;
    let head = "POST /a HTTP/1.1\r\nhost: api.openai.com\r\nexpect: 100-continue\r\n\
                content-length: 3\r\nconnection: close\r\n\r\nabc";
    let answer = rig.raw(head.as_bytes()).await;
    assert!(answer.contains("HTTP/1.1 200 OK"), "{answer}");
    let (head, body) = seen.requests().remove(0);
    assert_eq!(body, "abc");
    assert!(!head.headers.contains_key("expect"), "{head:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_all_before_it_reads_gets_to_read_the_refusal() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let rig = Rig::start(CHATS).await;
    for (path, size) in [("/v1/chat/completions", 24 << 20), ("/v1/uploads", 24 << 20)] {
        let mut stream = rig.tls(crate::rig::HOST, H1).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: api.openai.com\r\ncontent-length: {size}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b' '; 1 << 20];
        for _ in 0..size / piece.len() {
            stream.write_all(&piece).await.expect("cut off while it sends");
        }
        let mut answer = vec![0; 4096];
        let count = stream.read(&mut answer).await.expect("cut off before it reads");
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
}
