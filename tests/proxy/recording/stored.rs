// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How much is stored has a bound, for denials and for each agent, and the record says what is not stored.

use bytes::Bytes;
use enforcer_core::model::limits::{DENIED_BODY_STORED_BYTES_MAX, RECORDED_FACTS_BYTES_MAX};
use enforcer_core::model::{Fault, RecordDepth};
use enforcer_core::record::{BodyRef, EventBody, Unstored, encode};
use enforcer_user::enforce;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::http::request::Parts;

use crate::client::{Body, H1, H2, chat, chat_request, request};
use crate::provider::full;
use crate::rig::{CHATS, HTTP, OPAQUE, Rig, policy_with};

/// Bytes of all bodies in the state folder.
fn stored_bytes(rig: &Rig) -> u64 {
    fn of(folder: &std::path::Path) -> u64 {
        let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
        let sizes = entries.map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { of(&path) } else { path.metadata().unwrap().len() }
        });
        sizes.sum()
    }
    of(&rig.journal().join("bodies"))
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_chats_with_large_bodies_are_recorded_without_them() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    let mut client = rig.client(H1).await;
    for number in 0..8 {
        let text = format!("{number} {}", "x".repeat(DENIED_BODY_STORED_BYTES_MAX));
        let (head, _) = client.whole(chat_request(&chat("o3", false, &text))).await;
        assert_eq!(head.status, 403);
    }
    let opened = rig.opened(8).await;
    for opened in &opened {
        assert_eq!((&opened.request, opened.request_unstored), (&None, Some(Unstored::Denied)));
    }
    assert_eq!(stored_bytes(&rig), 0);
    client.whole(chat_request(&chat("o3", false, "small"))).await;
    let last = rig.opened(9).await.pop().unwrap();
    assert!(last.request.is_some() && last.request_unstored.is_none(), "{last:?}");
    assert_eq!(provider.log().connections(), 0);
    rig.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_stored_its_share_is_served_and_recorded_without_bodies_and_told() {
    let rig = Rig::storing_nothing(CHATS).await;
    let _provider = rig.stand_in();
    for stream in [false, true] {
        let (head, _) = rig.ask(chat_request(&chat("gpt-4.1", stream, "hi"))).await;
        assert_eq!(head.status, 200);
    }
    for opened in rig.opened(2).await {
        assert_eq!((opened.request, opened.request_unstored), (None, Some(Unstored::AgentBound)));
    }
    for closed in rig.closed(2).await {
        assert_eq!(closed.response_unstored, Some(Unstored::AgentBound), "{closed:?}");
        let response = closed.response.unwrap();
        assert!(response.stored_bytes == 0 && response.seen_bytes > 0, "{response:?}");
    }
    enforce::look_at_spent(&rig.enforcer);
    let alarms = rig.enforcer.alarms.all();
    let told = alarms.iter().find(|alarm| alarm.name == Fault::Unstored).unwrap();
    assert!(told.detail.contains("1 MiB of `support`"), "{told:?}");
    rig.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_large_heads_costs_a_bounded_number_of_bytes_each() {
    let path = format!("/v1/{}?q={}", "p".repeat(20_000), "q".repeat(20_000));
    let rig = Rig::start(CHATS).await;
    rig.ask(request("GET", &path, "")).await;
    let whole = rig.opened(1).await.pop().unwrap();
    assert!(!whole.facts_cut && whole.facts.text_bytes() > 40_000, "judged again as it was");
    let rig = Rig::storing_nothing(CHATS).await;
    rig.ask(request("GET", &path, "")).await;
    let cut = rig.opened(1).await.pop().unwrap();
    assert!(cut.facts_cut && cut.facts.text_bytes() <= RECORDED_FACTS_BYTES_MAX);
    let events = rig.events().await;
    let is_last =
        |body: &EventBody| matches!(body, EventBody::ExchangeOpened(opened) if opened.facts_cut);
    let event = events.iter().find(|event| is_last(&event.body)).unwrap();
    let bytes = encode(event).unwrap().len();
    assert!(bytes < 4096, "{bytes} bytes for one request");
}

/// A request of this type to a door that no codec knows.
fn typed(kind: &str, content: impl Into<Bytes>) -> Request<Body> {
    let mut request = request("POST", "/v1/other", content);
    request.headers_mut().insert("content-type", kind.parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_codec_can_mask_is_said_to_be_not_stored() {
    let unreadable = Some(Unstored::Unreadable);
    let text = "ping ann@example.com";
    let binary = Bytes::from_static(b"ping\xff ann@example.com");
    // The type that is said, and an encoding, decide as well as what the bytes are.
    for (kind, encoding, content) in [
        ("application/octet-stream", "", text.into()),
        ("text/event-stream", "", Bytes::from_static(b"data: ann@exam\n\ndata: ple.com\n\n")),
        ("text/plain", "gzip", text.into()),
        ("text/plain; charset=utf-16", "", text.into()),
        ("text/plain", "", binary),
    ] {
        let rig = Rig::start(&format!("{CHATS}{HTTP}")).await;
        let answered = content.clone();
        let answer = move |_: &Parts, _: &Bytes| {
            let mut answer = full(kind, answered.clone());
            if !encoding.is_empty() {
                answer.headers_mut().insert("content-encoding", encoding.parse().unwrap());
            }
            answer
        };
        let seen = rig.provider(H1, answer).await;
        let mut request = typed(kind, content.clone());
        if !encoding.is_empty() {
            request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        }
        let answer = rig.client(H1).await.send(request).await;
        assert_eq!(answer.status(), 200);
        let received = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!((&received, &seen.requests()[0].1), (&content, &content), "{kind}");
        let closed = rig.closed(1).await.pop().unwrap();
        assert_eq!((&closed.request, &closed.response), (&None, &None), "{kind}");
        let why = (closed.request_unstored, closed.response_unstored);
        assert_eq!(why, (unreadable, unreadable), "{kind} {encoding}");
        assert_eq!(stored_bytes(&rig), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_no_codec_understands_is_stored_masked_and_passes_as_it_is() {
    let rules = format!("{CHATS}{HTTP}{OPAQUE}");
    let json = r#"{"to":"ann\u0040example.com","card":4111111111111111}"#;
    let hidden = r#"{"to":"[email]","card":"[credit-card]"}"#;
    for (alpn, kind, content, expect) in [
        (H1, "application/json", json, hidden),
        (H2, "application/json; charset=utf-8", json, hidden),
        (H1, "text/plain", "ann@example.com", "[email]"),
        (H2, "application/x-www-form-urlencoded", "a=b&to=ann%40example.com", "a=b&to=[email]"),
    ] {
        let rig = Rig::start(&rules).await;
        let answer = move |_: &Parts, _: &Bytes| full(kind, content);
        let seen = rig.provider(H1, answer).await;
        let (head, received) = rig.client(alpn).await.whole(typed(kind, content)).await;
        assert_eq!((head.status.as_u16(), received.as_str()), (200, content));
        assert_eq!(seen.requests()[0].1, content);
        let closed = rig.closed(1).await.pop().unwrap();
        assert_eq!((closed.request_unstored, closed.response_unstored), (None, None), "{closed:?}");
        let reader = rig.enforcer.journal.reader().unwrap();
        let stored = |body: Option<BodyRef>| reader.body(&body.unwrap()).unwrap();
        assert_eq!(stored(closed.request), expect.as_bytes());
        assert_eq!(stored(closed.response), expect.as_bytes());
        assert_eq!(closed.masked, 0, "nothing was masked on its way");
        rig.verify().await;
    }
    // A chat that is no JSON, and is larger than what is looked at in one piece.
    let rig = Rig::start(&rules).await;
    let seen = rig.provider(H1, |_, _| full("text/plain", "")).await;
    let large = format!("{} ann@example.com", "x".repeat(300_000));
    rig.ask(request("POST", "/v1/chat/completions", large.clone())).await;
    assert!(seen.requests()[0].1 == large, "as it was sent");
    let closed = rig.closed(1).await.pop().unwrap();
    assert_eq!((closed.request_unstored, &closed.response), (None, &None));
    assert_eq!(closed.bytes_up, large.len() as u64);
    let reader = rig.enforcer.journal.reader().unwrap();
    assert!(reader.body(&closed.request.unwrap()).unwrap().ends_with(b"x [email]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_denied_request_nothing_is_stored_where_its_rules_or_its_bundle_ask_for_facts() {
    let chats = CHATS.replace("@id(\"chats\")", "@id(\"chats\") @record(\"facts\")");
    for (mode, rules, depth) in [
        ("enforce", CHATS, RecordDepth::Full),
        ("enforce", chats.as_str(), RecordDepth::Facts),
        ("enforce\"\nrecord = \"facts", CHATS, RecordDepth::Facts),
    ] {
        let rig = Rig::start(CHATS).await;
        rig.enforce(policy_with(mode, "", rules));
        let (head, _) = rig.ask(chat_request(&chat("o3", false, "words of somebody"))).await;
        assert_eq!(head.status, 403);
        let opened = rig.opened(1).await.pop().unwrap();
        assert_eq!(opened.decision.obligations.record, depth);
        assert_eq!(
            (opened.request.is_some(), opened.request_unstored),
            (depth == RecordDepth::Full, None)
        );
        assert_eq!(rig.stores("words of somebody").await, depth == RecordDepth::Full);
    }
}
