// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A provider that tries: texts in the head of its answer, refusals in our name, streams that are not what they
//! say, answers that take long to read.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{H1, H2, chat, chat_request, request};
use crate::provider::{Seen, full, listen, server_config};
use crate::rig::{CHATS, HOST, HTTP, LIMIT, Rig, outcome, policy_with};

const MAIL: &str = "maria.lopez@example.com";
const UNMASKED: &str = r#"
@id("chats")
permit (principal == Agent::"support", action == Action::"chat", resource == Endpoint::"openai");
"#;

const BUDGETED: &str = r#"
@id("chats")
@budget("daily")
permit (principal == Agent::"support", action == Action::"chat", resource == Endpoint::"openai");
"#;
const BUDGET: &str = "[budgets.daily]\nper = \"agent\"\ntokens = 100000\nwindow = \"1d\"\n";

impl Rig {
    /// Puts a provider behind the name that answers each connection by these bytes.
    async fn bytes(&self, answer: String) {
        let tls = server_config(&self.authority, HOST, H1);
        let serve = move |mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>| {
            let answer = answer.clone();
            async move {
                let mut buffer = [0; 4096];
                assert!(stream.read(&mut buffer).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        };
        self.resolve(HOST, listen(tls, Seen::default(), serve).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_masked_answer_carries_nothing_that_a_mask_names() {
    let rig = Rig::start(CHATS).await;
    let plain = r#"{"choices":[{"index":0,"message":{"content":"hi"}}]}"#;
    let stream =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n";
    for (kind, body) in [("application/json", plain), ("text/event-stream", stream)] {
        let answer = format!(
            "HTTP/1.1 200 Ask {MAIL}\r\ncontent-type: {kind}; note=\"{MAIL}\"\r\nx-note: {MAIL}\r\n\
             set-cookie: user={MAIL}; Path=/\r\nlocation: /x?user=maria.lopez%40example.com\r\n\
             4111-1111-1111-1111: 1\r\nx-json: {{\"a\":\"maria.lopez\\u0040example.com\"}}\r\n\
             x-request-id: req_1\r\nconnection: close\r\n\r\n{body}"
        );
        // A type that names what a mask finds is not known any more, so such an answer is refused whole.
        for answer in
            [answer.clone(), answer.replace(&format!("; note=\"{MAIL}\""), "; charset=utf-7")]
        {
            rig.bytes(answer).await;
            let content = chat("gpt-4.1", false, "hi").to_string();
            let sent = format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n{content}",
                content.len()
            );
            let got = rig.raw(sent.as_bytes()).await;
            for hidden in ["maria", "4111", "utf-7", "x-note", "set-cookie", "location"] {
                assert!(!got.contains(hidden), "{got}");
            }
            assert!(
                got.starts_with("HTTP/1.1 200 OK") || got.starts_with("HTTP/1.1 502 Bad Gateway")
            );
        }
        let got = rig.events().await.len();
        assert!(got > 0 && !rig.stores("maria").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_does_not_refuse_in_our_name() {
    let forged = json!({ "error": {
        "message": "Denied by Enforcer, not by the provider: a budget has no room for this request", "type": "enforcer_denied",
        "code": "enforcer_budget_spent", "rules": ["chats"],
    }});
    for (rules, path, kind) in [
        (CHATS, "/v1/chat/completions", "application/json"),
        (CHATS, "/v1/chat/completions", "text/event-stream"),
        (UNMASKED, "/v1/chat/completions", "application/json"),
        (UNMASKED, "/v1/chat/completions", "text/event-stream"),
        (UNMASKED, "/v1/chat/completions", "text/plain"),
        (HTTP, "/v1/models", "application/json"),
    ] {
        let rig = Rig::start(rules).await;
        let body = forged.to_string();
        rig.provider(H1, move |head, _| {
            let mut answer = full(kind, body.clone());
            *answer.status_mut() = StatusCode::FORBIDDEN;
            answer.headers_mut().insert("x-enforcer-denied", "budget_spent".parse().unwrap());
            if head.headers.contains_key("x-request-id") {
                answer.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
            }
            answer
        })
        .await;
        let content = chat("gpt-4.1", false, "hi").to_string();
        let (head, answer) = rig.ask(request("POST", path, content.clone())).await;
        assert_eq!(head.status, 403);
        assert!(!head.headers.contains_key("x-enforcer-denied"));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["error"]["code"], "provider: enforcer_budget_spent");
        assert!(
            answer["error"]["message"]
                .as_str()
                .unwrap()
                .starts_with("provider: Denied by Enforcer")
        );
        // One that we cannot read is not passed on to somebody who can.
        let mut encoded = request("POST", path, content);
        encoded.headers_mut().insert("x-request-id", "1".parse().unwrap());
        let (head, answer) = rig.ask(encoded).await;
        assert!(!head.headers.contains_key("content-encoding"));
        // Where it has to be masked, the refusal is ours and has our mark.
        let is_ours = head.headers.contains_key("x-enforcer-denied");
        assert!(is_ours != answer.contains("is withheld"), "{answer}");
        assert!(!answer.contains("enforcer_budget_spent"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_not_whole_says_so() {
    let event = |text: &str| {
        let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": text } }] });
        format!("data: {chunk}\n\n")
    };
    let stop = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    for odd in ["data: ping\n\n".to_owned(), format!("data: {stop}\n\n")] {
        let rig = Rig::start(UNMASKED).await;
        let body =
            format!("{}{odd}{}data: [DONE]\n\n", event("the beginning "), event("and the rest"));
        let sent = body.clone();
        rig.provider(H1, move |_, _| full("text/event-stream", sent.clone())).await;
        let (_, answer) = rig.ask(chat_request(&chat("gpt-4.1", true, "hi"))).await;
        assert_eq!(answer, body, "nothing is masked for this agent");
        let closed = rig.closed(1).await.remove(0);
        assert_eq!(outcome(&closed), "completed");
        assert!(closed.response_unstored.is_some(), "{closed:?}");
        assert!(closed.response.is_some() && !rig.stores("and the rest").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_answer_to_a_chat_that_a_budget_counts_is_refused() {
    let rig = Rig::start(UNMASKED).await;
    rig.provider(H1, |_, _| {
        let mut answer = full("text/event-stream", "not readable");
        answer.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        answer
    })
    .await;
    let ask = || rig.ask(chat_request(&chat("gpt-4.1", true, "hi")));
    assert_eq!(ask().await.0.status, 200, "nobody counts it");
    rig.enforce(policy_with("enforce", BUDGET, BUDGETED));
    let (head, _) = ask().await;
    assert_eq!(head.status, 502);
    assert_eq!(head.headers["x-enforcer-denied"], "response_undecodable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_a_card_number_is_stored_nowhere() {
    let rig = Rig::start(CHATS).await;
    let usage = json!({ "prompt_tokens": 4_111_111_111_111_111_u64, "completion_tokens": 1 });
    let body = json!({ "choices": [], "usage": usage }).to_string();
    rig.provider(H1, move |_, _| full("application/json", body.clone())).await;
    assert_eq!(rig.ask(chat_request(&chat("gpt-4.1", false, "hi"))).await.0.status, 200);
    rig.closed(1).await;
    assert!(!rig.stores("4111111111111111").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_says_in_its_head_is_charged() {
    let rig = Rig::start(UNMASKED).await;
    rig.enforce(policy_with("enforce", BUDGET, BUDGETED));
    rig.provider(H1, |_, _| {
        let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1 });
        let mut answer =
            full("application/json", json!({ "choices": [], "usage": usage }).to_string());
        for name in ["x-one", "x-two", "x-three"] {
            answer.headers_mut().insert(name, "word ".repeat(1500).trim().parse().unwrap());
        }
        answer
    })
    .await;
    assert_eq!(rig.ask(chat_request(&chat("gpt-4.1", false, "hi"))).await.0.status, 200);
    rig.closed(1).await;
    let counts = rig.enforcer.budgets.counts(rig.enforcer.clock.now());
    let charged = counts[0].1.used.tokens;
    assert!(charged > 2000, "{charged} tokens for 22 kB of words");
}

/// On one thread, so that whoever blocks it blocks everybody.
#[tokio::test]
async fn who_gets_a_large_answer_does_not_hold_up_others() {
    let rig = Rig::start(CHATS).await;
    let words = format!("Write to {MAIL}, please. ").repeat(300_000);
    let large = json!({ "choices": [{ "index": 0, "message": { "content": words } }] }).to_string();
    let streamed = format!("data: {}\n\ndata: [DONE]\n\n", {
        let words = format!("Write to {MAIL}, please. ").repeat(20_000);
        json!({ "choices": [{ "index": 0, "delta": { "content": words } }] })
    });
    rig.provider(H1, move |_, body| {
        let asked: Value = serde_json::from_slice(body).unwrap();
        match asked["messages"][0]["content"].as_str().unwrap() {
            "large" if asked["stream"] == json!(true) => {
                full("text/event-stream", streamed.clone())
            }
            "large" => full("application/json", Bytes::from(large.clone())),
            _ => full("application/json", r#"{"choices":[]}"#),
        }
    })
    .await;
    for stream in [false, true] {
        let (mut one, mut other) = (rig.client(H1).await, rig.client(H2).await);
        let large = one.whole(chat_request(&chat("gpt-4.1", stream, "large")));
        let mut large = std::pin::pin!(large);
        let mut answered = 0;
        let (_, answer) = loop {
            tokio::select! {
                done = large.as_mut() => break done,
                (head, _) = other.whole(chat_request(&chat("gpt-4.1", false, "small"))) => {
                    assert_eq!(head.status, 200);
                    answered += 1;
                }
                () = tokio::time::sleep(LIMIT) => panic!("nobody is answered"),
            }
        };
        assert!(answer.contains("[email]") && !answer.contains(MAIL));
        assert!(answered >= 3, "{answered} others were answered while one was masked");
    }
}
