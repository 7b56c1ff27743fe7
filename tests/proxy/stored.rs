// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How much is stored has a bound, for denials and for each agent, and the record says what is not stored.

use enforcer_core::model::Fault;
use enforcer_core::model::limits::{DENIED_BODY_STORED_BYTES_MAX, RECORDED_FACTS_BYTES_MAX};
use enforcer_core::record::{EventBody, Unstored, encode};
use enforcer_user::enforce;

use crate::client::{H1, chat, chat_request, request};
use crate::provider::full;
use crate::rig::{CHATS, HTTP, Rig};

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

#[tokio::test(flavor = "multi_thread")]
async fn what_no_codec_can_mask_is_said_to_be_not_stored() {
    let rig = Rig::start(&format!("{CHATS}{HTTP}")).await;
    let answer = |_: &hyper::http::request::Parts, _: &bytes::Bytes| full("text/plain", "pong");
    rig.provider(H1, answer).await;
    let (head, _) = rig.ask(request("POST", "/v1/other", "ping")).await;
    assert_eq!(head.status, 200);
    let closed = rig.closed(1).await.pop().unwrap();
    assert_eq!((&closed.request, &closed.response), (&None, &None));
    let unreadable = Some(Unstored::Unreadable);
    assert_eq!((closed.request_unstored, closed.response_unstored), (unreadable, unreadable));
}
