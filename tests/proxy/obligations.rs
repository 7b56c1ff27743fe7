// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is owed besides masks: budgets are charged, credentials put in; observing owes nothing.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use enforcer_core::budget::Amount;
use enforcer_core::model::{Effect, Mode};
use enforcer_core::record::{Charged, EventBody, ExchangeOutcome};
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use hyper::Response;
use hyper::http::request::Parts;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use crate::client::{H1, H2, chat, chat_request};
use crate::provider::full;
use crate::rig::{CHATS, HOST, HTTP, LIMIT, Rig, outcome, policy_with};

/// A budget of tokens, and one of requests.
const BUDGETS: &str = r#"
[budgets.daily]
per = "agent"
tokens = 60
window = "1d"
[budgets.calls]
per = "user"
requests = 2
window = "1d"
"#;
const CHARGED: &str = r#"
@id("charged") @budget("daily") @record("facts")
permit (principal, action == Action::"chat", resource);
"#;
const COUNTED: &str = r#"
@id("counted") @budget("calls")
permit (principal, action == Action::"chat", resource);
"#;
/// An answer that did cost this many tokens.
const ANSWER: &str = r#"{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":30}}"#;

fn used(rig: &Rig) -> Vec<(String, Amount)> {
    let counts = rig.enforcer.budgets.counts(rig.enforcer.clock.now()).into_iter();
    counts.map(|(account, count)| (account.as_str().to_owned(), count.used)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_refuses_before_the_provider_has_a_byte() {
    let rig = Rig::start(CHATS).await;
    rig.enforce(policy_with("enforce", BUDGETS, CHARGED));
    let answer =
        |_: &Parts, _: &Bytes| full("application/json", Bytes::from_static(ANSWER.as_bytes()));
    let seen = rig.provider(H1, answer).await;
    let content = chat("gpt-4.1", false, "hi");
    let (head, _) = rig.ask(chat_request(&content)).await;
    assert_eq!(head.status, 200);
    let closed = rig.closed(1).await;
    let charged = Amount { tokens: 50, requests: 1 };
    let account = "daily/agent:support".to_owned();
    assert_eq!(closed[0].charged, [Charged { account, amount: charged }], "the record says it");
    assert_eq!(used(&rig), [("daily/agent:support".to_owned(), charged)], "what the provider says");
    let long = chat("gpt-4.1", false, "as many words as do not fit into what is left of a budget");
    let (head, answer) = rig.ask(chat_request(&long)).await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["x-enforcer-denied"]),
        (429, &"budget_spent".parse().unwrap())
    );
    assert_eq!(head.headers["x-should-retry"], "false");
    let json: Value = serde_json::from_str(&answer).unwrap();
    let message = json["error"]["message"].as_str().unwrap();
    assert!(message.contains("budget `daily`, which has 10 of 60 left; it starts"), "{answer}");
    let mut large = content.clone();
    large["max_tokens"] = json!(5000);
    let (_, answer) = rig.ask(chat_request(&large)).await;
    assert!(answer.contains("which has 60 in a whole window"), "waiting never helps: {answer}");
    assert_eq!(seen.requests().len(), 1);
    let opened = rig.opened(2).await;
    let denied = opened[1].denied.as_ref().expect("a refusal in the record");
    assert_eq!(denied.reason.code(), "budget_spent");
    assert_eq!(used(&rig)[0].1, charged, "a refused request costs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_reserved_is_not_called_spent() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    rig.enforce(policy_with("enforce", BUDGETS, CHARGED));
    provider.hold();
    let content = chat("gpt-4.1", true, "hi");
    let under_way = rig.client(H2).await.send(chat_request(&content)).await;
    let (head, answer) = rig.ask(chat_request(&content)).await;
    assert_eq!(head.status, 429);
    assert!(answer.contains("reserved by requests under way"), "{answer}");
    assert!(!answer.contains("is spent"), "{answer}");
    drop(under_way);
    provider.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_tells_no_usage_is_charged_by_its_pieces_also_if_the_agent_leaves() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    let plenty = BUDGETS.replace("tokens = 60", "tokens = 100_000");
    rig.enforce(policy_with("enforce", &plenty, CHARGED));
    let content = chat("gpt-4.1", true, "hi");
    let (head, answer) = rig.ask(chat_request(&content)).await;
    assert_eq!(head.status, 200);
    let pieces = answer.lines().filter(|line| line.starts_with("data: ")).count() as u64;
    rig.closed(1).await;
    let whole = used(&rig)[0].1.tokens;
    assert!(whole > pieces && pieces > 5, "{whole} for {pieces} pieces and the request");
    provider.hold();
    let answer = rig.client(H2).await.send(chat_request(&content)).await;
    drop(answer);
    provider.release();
    rig.closed(2).await;
    assert!(used(&rig)[0].1.tokens > whole, "who leaves pays for the request at least");
    assert_eq!(used(&rig)[0].1.requests, 2);
}

/// Events of an answer, numbered, that tell no usage.
fn events(numbers: std::ops::Range<usize>) -> Bytes {
    let event = |number| {
        format!(
            "data: {{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"index\":0,\
             \"delta\":{{\"content\":\"w{number} \"}},\"finish_reason\":null}}]}}\n\n"
        )
    };
    numbers.map(event).collect::<String>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_cut_where_its_budget_is_spent() {
    for (annotation, alpn) in [("", H1), ("@mask_response(\"pii\")", H2)] {
        let rig = Rig::start(CHATS).await;
        let rule = CHARGED.replace("@record(\"facts\")", annotation);
        rig.enforce(policy_with("enforce", BUDGETS, &rule));
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        let body = Arc::new(Mutex::new(Some(body)));
        let seen = rig
            .provider(H1, move |_, _| {
                let body = body.lock().unwrap().take().unwrap();
                let answer = Response::builder().header("content-type", "text/event-stream");
                answer.body(body.boxed()).unwrap()
            })
            .await;
        let answer = rig.client(alpn).await.send(chat_request(&chat("gpt-4.1", true, "hi"))).await;
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        // All that fits, then more than fits.
        sender.send_data(events(0..10)).await.unwrap();
        let mut text = String::new();
        while !text.contains("w9 ") {
            let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
            text += str::from_utf8(&data).unwrap();
        }
        assert_eq!(used(&rig)[0].1, Amount::default(), "it is under way");
        sender.send_data(events(10..80)).await.unwrap();
        let rest = body.collect().await.unwrap().to_bytes();
        text += str::from_utf8(&rest).unwrap();
        let (_, last) = text.trim_end().rsplit_once("data: ").unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["error"]["code"], "enforcer_budget_spent", "{text}");
        assert!(!text.contains("[DONE]") && !text.contains("w79 "), "{text}");
        let closed = rig.closed(1).await;
        assert_eq!((outcome(&closed[0]), closed[0].status), ("budget_spent", Some(200)));
        let charged = used(&rig)[0].1.tokens;
        assert!(charged > 60, "what the provider said is charged, not what arrived: {charged}");
        // The provider is not listened to any more.
        let cut = async { while sender.send_data(events(0..1)).await.is_ok() {} };
        tokio::time::timeout(LIMIT, cut).await.unwrap();
        assert_eq!(seen.requests().len(), 1);
        let (head, _) = rig.ask(chat_request(&chat("gpt-4.1", true, "hi"))).await;
        assert_eq!(head.status, 429);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_end_of_a_plain_answer_pays_for_what_arrived() {
    let rig = Rig::start(CHATS).await;
    let plenty = BUDGETS.replace("tokens = 60", "tokens = 100_000");
    rig.enforce(policy_with("enforce", &plenty, CHARGED));
    let answer = |_: &Parts, _: &Bytes| full("application/json", vec![b'x'; 8 << 20]);
    rig.provider(H1, answer).await;
    let content = chat("gpt-4.1", false, "hi");
    let answer = rig.client(H1).await.send(chat_request(&content)).await;
    let mut body = answer.into_body();
    let mut read = 0;
    while read < 64 * 1024 {
        read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    drop(body);
    let closed = rig.closed(1).await;
    assert_eq!(outcome(&closed[0]), "aborted");
    assert!(used(&rig)[0].1.tokens >= 64 * 1024 / 4, "{:?}", used(&rig));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_costs_nothing() {
    let mut rig = Rig::start(CHATS).await;
    rig.enforce(policy_with("enforce", BUDGETS, CHARGED));
    let seen = rig.provider(H1, |_, _| full("application/json", Bytes::from_static(b"{}"))).await;
    rig.close_journal().await;
    let (head, _) = rig.ask(chat_request(&chat("gpt-4.1", false, "hi"))).await;
    assert_eq!(head.headers["x-enforcer-denied"], "journal_unavailable");
    assert_eq!(used(&rig), [("daily/agent:support".to_owned(), Amount::default())]);
    assert!(seen.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_was_answered_costs_nothing() {
    let rig = Rig::start(CHATS).await;
    rig.enforce(policy_with("enforce", BUDGETS, COUNTED));
    let content = chat("gpt-4.1", false, "hi");
    for _ in 0..4 {
        let (head, _) = rig.ask(chat_request(&content)).await;
        assert_eq!(head.status, 502, "there is no provider");
    }
    assert_eq!(used(&rig), [("calls/user:1000".to_owned(), Amount::default())]);
    rig.provider(H1, |_, _| full("application/json", Bytes::from_static(b"{}"))).await;
    for status in [200, 200, 429] {
        let (head, _) = rig.ask(chat_request(&content)).await;
        assert_eq!(head.status, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_takes_the_place_of_what_the_agent_sent_and_is_recorded_nowhere() {
    const SECRET: &str = "sk-the-real-one-0815";
    let rig = Rig::start(CHATS).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    let credential = format!(
        "[credentials.key]\nsecret = \"file:{}\"\nheader = \"Authorization\"\nvalue = \"Bearer {{secret}}\"\n",
        path.display()
    );
    let rules = "@id(\"keyed\") @credential(\"key\") permit (principal, action, resource) \
                 when { resource == Endpoint::\"openai\" };";
    let rules = rules.replace("action,", "action in [Action::\"chat\", Action::\"http\"],");
    rig.enforce(policy_with("enforce", &credential, &rules));
    let seen = rig.provider(H1, |_, _| full("application/json", Bytes::from_static(b"{}"))).await;
    for (number, alpn) in [H1, H2].into_iter().enumerate() {
        let mut request = chat_request(&chat("gpt-4.1", false, "hi"));
        request.headers_mut().append("authorization", "Bearer nothing".parse().unwrap());
        request.headers_mut().append("authorization", "Bearer twice".parse().unwrap());
        let (head, _) = rig.client(alpn).await.whole(request).await;
        assert_eq!(head.status, 200);
        let (head, _) = seen.requests().remove(number);
        let values: Vec<_> = head.headers.get_all("authorization").iter().collect();
        assert_eq!(values, [&format!("Bearer {SECRET}")]);
    }
    rig.closed(2).await;
    assert!(!rig.stores(SECRET).await);
    std::fs::remove_file(&path).unwrap();
    let (head, answer) = rig.ask(chat_request(&chat("gpt-4.1", false, "hi"))).await;
    assert_eq!(head.status, 503);
    assert_eq!(head.headers["x-enforcer-denied"], "credential_unavailable");
    assert!(!answer.contains("key"), "the agent does not learn where secrets are: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_credentials_for_one_header_refuse() {
    let rig = Rig::start(CHATS).await;
    let one =
        "[credentials.NAME]\nsecret = \"env:PATH\"\nheader = \"x-api-key\"\nvalue = \"{secret}\"\n";
    let both = one.replace("NAME", "one") + &one.replace("NAME", "two");
    let rule = "@id(\"NAME\") @credential(\"NAME\") permit (principal, action == Action::\"chat\", resource);";
    let rules = rule.replace("NAME", "one") + &rule.replace("NAME", "two");
    rig.enforce(policy_with("enforce", &both, &rules));
    let seen = rig.provider(H1, |_, _| full("application/json", Bytes::from_static(b"{}"))).await;
    let (head, _) = rig.ask(chat_request(&chat("gpt-4.1", false, "hi"))).await;
    assert_eq!(head.headers["x-enforcer-denied"], "credential_unavailable");
    assert!(seen.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_observes_changes_no_byte_and_records_what_it_would_have_done() {
    const BODY: &str = r#"{"choices":[{"message":{"content":"maria.lopez@example.com"}}]}"#;
    let rig = Rig::start(CHATS).await;
    rig.enforce(policy_with("observe", "", &format!("{CHATS}{HTTP}")));
    let answer = |_: &Parts, _: &Bytes| {
        let mut answer = full("application/json", Bytes::from_static(BODY.as_bytes()));
        answer.headers_mut().insert("alt-svc", "h3=\":443\"".parse().unwrap());
        answer
    };
    let seen = rig.provider(H1, answer).await;
    for (number, alpn) in [H1, H2].into_iter().enumerate() {
        let content = chat("o3", false, "maria.lopez@example.com");
        let mut request = chat_request(&content);
        for (name, value) in [("accept-encoding", "br, gzip"), ("x-forwarded-host", "a.example")] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (head, answer) = rig.client(alpn).await.whole(request).await;
        assert_eq!((head.status.as_u16(), answer.as_str()), (200, BODY));
        assert!(
            head.headers.contains_key("alt-svc") && !head.headers.contains_key("x-enforcer-denied")
        );
        let (head, body) = seen.requests().remove(2 * number);
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), content);
        assert_eq!(head.headers["accept-encoding"], "br, gzip");
        assert_eq!(head.headers["x-forwarded-host"], "a.example");
        let allowed = chat("gpt-4.1", false, "maria.lopez@example.com");
        rig.client(alpn).await.whole(chat_request(&allowed)).await;
        let (_, body) = seen.requests().remove(2 * number + 1);
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), allowed, "not masked");
    }
    let (opened, closed) = (rig.opened(4).await, rig.closed(4).await);
    let effects: Vec<_> = opened.iter().map(|it| it.decision.effect).collect();
    assert_eq!(effects, [Effect::Deny, Effect::Allow, Effect::Deny, Effect::Allow]);
    assert!(opened.iter().all(|it| it.decision.mode == Mode::Observe && it.denied.is_none()));
    assert!(opened.iter().any(|it| !it.decision.obligations.mask_request.is_empty()));
    assert!(closed.iter().all(|it| it.outcome == ExchangeOutcome::Completed), "{closed:?}");
    assert!(closed.iter().all(|it| outcome(it) == "completed"));
    assert!(opened.iter().all(|it| it.host == HOST));
    assert!(
        !rig.stores("maria.lopez@example.com").await,
        "what is recorded is masked all the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_observes_passes_on_what_no_endpoint_names_as_it_came() {
    let rig = Rig::start(CHATS).await;
    rig.enforce(policy_with("observe", "", CHATS));
    let tls = crate::provider::server_config(&rig.authority, "other.example", H1);
    let echo = |mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>| async move {
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        stream.write_all(&word).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let server = crate::provider::listen(tls, crate::provider::Seen::default(), echo).await;
    // The agent's own view: the far end's certificate, not one of ours.
    rig.destined(server);
    let config = crate::client::config(rig.authority.pem(), &[H1]);
    let name = ServerName::try_from("other.example").unwrap();
    let connector = TlsConnector::from(config);
    let mut stream = connector.connect(name, rig.tcp().await).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.destined(listener.local_addr().unwrap());
    let mut agent = rig.tcp().await;
    agent.write_all(b"SSH-2.0-x\r\n").await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    let mut seen = [0; 11];
    far.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"SSH-2.0-x\r\n");
    let both = |events: &[enforcer_core::record::Event]| crate::rig::refused(events).len() == 2;
    let events = rig.until("what would be refused", both).await;
    let reasons: Vec<_> = crate::rig::refused(&events).into_iter().map(|it| it.1).collect();
    assert_eq!(reasons, ["not_an_endpoint", "protocol_error"]);
    let observed = events.iter().filter(|event| {
        matches!(event.body, EventBody::ConnectionRefused { mode: Mode::Observe, .. })
    });
    assert_eq!(observed.count(), 2);
}
