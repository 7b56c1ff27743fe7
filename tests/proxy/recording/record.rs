// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is written down: every exchange, in order, before it happens, and never what was masked.

use enforcer_core::record::EventBody;
use http_body_util::BodyExt as _;

use super::log;
use crate::client::{H1, H2, chat, chat_request, request};
use crate::provider::full;
use crate::rig::{CHATS, HTTP, Rig, closed, opened, outcome, policy};

#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_is_opened_and_closed_once_and_counted_from_one() {
    let (rig, _provider) = Rig::with_stand_in(&format!("{CHATS}{HTTP}")).await;
    for alpn in [H1, H2] {
        let mut client = rig.client(alpn).await;
        for stream in [false, true] {
            client.whole(chat_request(&chat("gpt-4.1", stream, "hi"))).await;
        }
        client.whole(request("GET", "/v1/models", "")).await;
    }
    rig.closed(6).await;
    let events = rig.events().await;
    let numbers: Vec<u64> = opened(&events).iter().map(|it| it.exchange.number).collect();
    assert_eq!(numbers, (1..=6).collect::<Vec<_>>());
    for number in 1..=6 {
        let position = |is_it: &dyn Fn(&EventBody) -> bool| {
            let found: Vec<_> =
                events.iter().enumerate().filter(|(_, event)| is_it(&event.body)).collect();
            assert_eq!(found.len(), 1, "exchange {number}: {events:#?}");
            found[0].0
        };
        let opened = position(
            &|body| matches!(body, EventBody::ExchangeOpened(it) if it.exchange.number == number),
        );
        let closed = position(
            &|body| matches!(body, EventBody::ExchangeClosed(it) if it.exchange.number == number),
        );
        assert!(opened < closed);
    }
    assert!(events.iter().enumerate().all(|(index, event)| event.sequence == index as u64));
    rig.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_is_in_the_record_before_the_provider_has_it() {
    let rig = Rig::start(CHATS).await;
    let (journal, session) = (rig.enforcer.journal.clone(), rig.session);
    let answer = move |_: &hyper::http::request::Parts, _: &bytes::Bytes| {
        let journal = journal.clone();
        // The provider looks into the record while it holds the request.
        let look = async move {
            let reader = journal.reader().unwrap();
            reader.events(session, 0).collect::<Result<Vec<_>, _>>().unwrap()
        };
        let runtime = tokio::runtime::Handle::current();
        let events = tokio::task::block_in_place(|| runtime.block_on(look));
        assert_eq!((opened(&events).len(), closed(&events).len()), (1, 0));
        full("application/json", r#"{"looked":true}"#)
    };
    rig.provider(H1, answer).await;
    let (head, answer) = rig.ask(chat_request(&chat("gpt-4.1", false, "hi"))).await;
    assert_eq!((head.status.as_u16(), answer.as_str()), (200, r#"{"looked":true}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_masked_is_stored_nowhere() {
    const MAIL: &str = "john.doe@example.org";
    const CARD: &str = "5555 5555 5555 4444";
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    let text = format!("Charge {CARD} of {MAIL}.");
    for stream in [false, true] {
        rig.ask(chat_request(&chat("gpt-4.1", stream, &text))).await;
        // Denied, and what came is kept all the same.
        rig.ask(chat_request(&chat("o3", stream, &text))).await;
    }
    rig.ask(request("POST", "/v1/chat/completions", format!("not JSON: {text}"))).await;
    rig.closed(2).await;
    assert!(provider.log().received().iter().all(|it| !it.body.contains(MAIL)));
    for secret in [MAIL, CARD, "maria.lopez@example.com", "4111 1111 1111 1111"] {
        assert!(!rig.stores(secret).await, "`{secret}` is in the journal");
    }
    assert!(rig.stores("Charge [credit-card] of [email].").await, "the masked text is not kept");
    assert!(rig.stores("charged").await, "the masked answer is not kept");
    rig.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_does_not_happen() {
    let (mut rig, provider) = Rig::with_stand_in(&format!("{CHATS}{HTTP}")).await;
    rig.close_journal().await;
    for alpn in [H1, H2] {
        for request in
            [chat_request(&chat("gpt-4.1", false, "hi")), request("GET", "/v1/models", "")]
        {
            let (head, answer) = rig.client(alpn).await.whole(request).await;
            assert_eq!(head.status, 503, "{answer}");
            assert_eq!(head.headers["x-enforcer-denied"], "journal_unavailable");
            assert!(answer.contains("enforcer_journal_unavailable"), "{answer}");
        }
    }
    assert_eq!(provider.log().connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_exchange_keeps_its_policy_when_another_comes_into_force() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    provider.hold();
    let before = rig.enforcer.policy.load().version().clone();
    let mut client = rig.client(H1).await;
    let mut body = client.send(chat_request(&chat("gpt-4.1", true, "hi"))).await.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    let other = policy(&CHATS.replace("@mask(\"pii\")", "").replace("gpt-4.1\",", "o3\","));
    let after = other.version().clone();
    rig.enforcer.policy.store(std::sync::Arc::new(other));
    provider.release();
    let rest = body.collect().await.unwrap().to_bytes();
    let rest = String::from_utf8(rest.to_vec()).unwrap();
    assert!(rest.contains("[email]"), "masked by the policy that allowed it: {rest}");
    drop(client);
    let (head, _) = rig.ask(chat_request(&chat("gpt-4.1", true, "hi"))).await;
    assert_eq!(head.status, 403);
    let opened = rig.opened(2).await;
    assert_eq!((&opened[0].decision.policy, &opened[1].decision.policy), (&before, &after));
    assert_eq!(outcome(&rig.closed(1).await[0]), "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sdk_that_leaves_at_the_end_marker_has_a_completed_exchange() {
    let rig = Rig::start(CHATS).await;
    let tls = crate::provider::server_config(&rig.authority, crate::rig::HOST, H1);
    let serve = |mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>| async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        // The body itself does not end.
        let events = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                       transfer-encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n";
        stream.write_all(events).await.unwrap();
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    let seen = crate::provider::Seen::default();
    rig.resolve(crate::rig::HOST, crate::provider::listen(tls, seen, serve).await);
    let mut client = rig.client(H1).await;
    let mut body = client.send(chat_request(&chat("gpt-4.1", true, "hi"))).await.into_body();
    let last = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(last, "data: [DONE]\n\n");
    drop((body, client));
    assert_eq!(outcome(&rig.closed(1).await[0]), "completed");
}

/// How many denials each line of the log stands for that holds these words.
fn counted(words: &[&str]) -> Vec<u64> {
    let lines = log::lines(|line| words.iter().all(|word| line.contains(word)));
    let count = |line: &String| line.split("count=").nth(1)?.split(' ').next()?.parse().ok();
    lines.iter().map(|line| count(line).expect(line)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_one_line_of_the_log_and_what_repeats_it_is_one_more() {
    log::keep();
    let rules = CHATS.replace("approved-models", "only-in-this-test");
    let (rig, _provider) = Rig::with_stand_in(&rules).await;
    for _ in 0..5 {
        let (head, _) = rig.ask(chat_request(&chat("o3", false, "hi"))).await;
        assert_eq!(head.status, 403);
    }
    rig.opened(5).await;
    let words = ["denied", "rules=\"only-in-this-test\"", "agent=\"support\"", "user=1000"];
    let more = ["endpoint=\"openai\"", "action=\"chat\"", "reason=\"policy\"", "exchange=\""];
    let words = [words, more].concat();
    assert_eq!(counted(&words), [1], "the first at once");
    rig.enforcer.denials.log_all();
    assert_eq!(counted(&words), [1, 4], "the others together");
    let labels = ["support", "openai", "policy", "only-in-this-test"].map(str::to_owned);
    assert_eq!(rig.enforcer.denials.denied_counts().get(&labels[..]), Some(&5));
    let judged = ["support", "openai", "deny"].map(str::to_owned);
    assert_eq!(rig.enforcer.denials.exchange_counts().get(&judged[..]), Some(&5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_after_the_judgment_is_counted_once_by_its_reason() {
    let rig = Rig::start(CHATS).await;
    let (head, _) = rig.ask(chat_request(&chat("gpt-4.1", false, "hi"))).await;
    assert_eq!(head.status, 502, "there is no provider");
    rig.closed(1).await;
    let counts = rig.enforcer.denials.denied_counts();
    let labels = ["support", "openai", "upstream_name", ""].map(str::to_owned);
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(labels.to_vec(), 1)]);
    let judged = rig.enforcer.denials.exchange_counts();
    let labels = ["support", "openai", "allow"].map(str::to_owned);
    assert_eq!(judged.into_iter().collect::<Vec<_>>(), [(labels.to_vec(), 1)]);
}
