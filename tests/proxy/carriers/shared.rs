// SPDX-License-Identifier: Apache-2.0 OR MIT
//! HTTP/2 connections to providers are shared, and no agent waits for another because of it, whatever the server
//! says that it takes.

use enforcer_core::model::limits;
use enforcer_core::protocol::h2::Seen;
use hyper::Response;
use hyper::body::Incoming;

use crate::carriers::frames::{DATA, END_STREAM, GOAWAY, Provided, Provider, allows, frame};
use crate::client::{H1, Sender, request, whole};
use crate::rig::{HTTP, Rig, outcome};

/// An agent whose answer has begun and does not end.
struct Held {
    _client: Sender,
    _answer: Response<Incoming>,
}

async fn hold(rig: &Rig, provided: &mut Provided) -> Held {
    let mut client = rig.client(H1).await;
    let (answer, ()) = tokio::join!(client.send(request("GET", "/slow", "")), async {
        let stream = provided.asked().await;
        provided.begin(stream).await;
    });
    Held { _client: client, _answer: answer }
}

/// The first agent, on a connection whose server takes this many exchanges at once.
async fn first(rig: &Rig, provider: &mut Provider, streams: u32) -> (Held, Provided) {
    let mut client = rig.client(H1).await;
    let (answer, provided) = tokio::join!(client.send(request("GET", "/slow", "")), async {
        let mut provided = provider.connection().await;
        provided.send(&allows(streams)).await;
        let stream = provided.asked().await;
        provided.begin(stream).await;
        provided
    });
    (Held { _client: client, _answer: answer }, provided)
}

/// Another agent gets its answer over a new connection while the others are held.
async fn another(rig: &Rig, provider: &mut Provider) -> Provided {
    let mut client = rig.client(H1).await;
    let (answer, provided) = tokio::join!(client.send(request("GET", "/fast", "")), async {
        let mut provided = provider.connection().await;
        provided.send(&allows(1)).await;
        let stream = provided.asked().await;
        provided.answer(stream, "fast").await;
        provided
    });
    assert_eq!(whole(answer).await.1, "fast");
    provided
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_holds_all_that_a_server_takes_on_a_connection_keeps_no_other_waiting() {
    let rig = Rig::start(HTTP).await;
    let mut provider = Provider::start(&rig).await;
    let (held, mut provided) = first(&rig, &mut provider, 2).await;
    let more = hold(&rig, &mut provided).await;
    another(&rig, &mut provider).await;
    assert_eq!(provider.connections.connections(), 2);
    drop((held, more));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_takes_less_or_more_of_later_counts_from_then_on() {
    let rig = Rig::start(HTTP).await;
    let mut provider = Provider::start(&rig).await;
    let (held, mut provided) = first(&rig, &mut provider, 2).await;
    provided.send(&allows(1)).await;
    provided.ping().await;
    let mut other = another(&rig, &mut provider).await;
    rig.closed(1).await;
    other.send(&allows(0)).await;
    other.ping().await;
    provided.send(&allows(3)).await;
    provided.ping().await;
    let more = (hold(&rig, &mut provided).await, hold(&rig, &mut provided).await);
    assert_eq!(provider.connections.connections(), 2);
    another(&rig, &mut provider).await;
    drop((held, more));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_before_the_server_has_said_how_much_it_takes() {
    let rig = Rig::start(HTTP).await;
    let mut provider = Provider::start(&rig).await;
    let mut client = rig.client(H1).await;
    let (answer, ()) = tokio::join!(client.send(request("GET", "/a", "")), async {
        let mut provided = provider.connection().await;
        provided.send(&allows(0)).await;
        provided.ping().await;
        let asked = provided.seen().any(|seen| matches!(seen, Seen::Headers { .. }));
        assert!(!asked, "asked although it takes nothing");
        provided.send(&allows(1)).await;
        let stream = provided.asked().await;
        provided.answer(stream, "late").await;
    });
    assert_eq!(whole(answer).await.1, "late");
}

#[tokio::test]
async fn a_server_that_takes_nothing_at_all_is_told_and_nothing_was_sent() {
    let rig = Rig::start(HTTP).await;
    let mut provider = Provider::start(&rig).await;
    let mut client = rig.client(H1).await;
    let sending = client.send_within(limits::UPSTREAM_HEAD_TIMEOUT, request("GET", "/a", ""));
    let (answer, _provided) = tokio::join!(sending, async {
        let mut provided = provider.connection().await;
        provided.send(&allows(0)).await;
        provided.ping().await;
        rig.opened(1).await;
        rig.enforcer.journal.sync().await.unwrap();
        tokio::time::pause();
        provided
    });
    tokio::time::resume();
    assert_eq!(answer.status(), 502);
    let closed = rig.closed(1).await;
    assert_eq!(outcome(&closed[0]), "upstream_unreachable");
    assert!(closed[0].detail.as_ref().unwrap().contains("takes no request"), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_going_away_gets_no_more_exchanges_and_finishes_its_own() {
    let rig = Rig::start(HTTP).await;
    let mut provider = Provider::start(&rig).await;
    let (held, mut provided) = first(&rig, &mut provider, 9).await;
    provided.send(&frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])).await;
    provided.ping().await;
    another(&rig, &mut provider).await;
    provided.send(&frame(DATA, END_STREAM, 1, b"end")).await;
    assert_eq!(whole(held._answer).await.1, "end");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_agents_than_connections_are_kept_wait_for_nobody() {
    let rig = Rig::start(HTTP).await;
    let mut provider = Provider::start(&rig).await;
    let mut held = Vec::new();
    for _ in 0..limits::UPSTREAM_IDLE_MAX + 3 {
        held.push(first(&rig, &mut provider, 1).await);
    }
    another(&rig, &mut provider).await;
    assert_eq!(provider.connections.connections(), limits::UPSTREAM_IDLE_MAX + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_over_and_that_nobody_reads_keep_no_other_agent_waiting() {
    let rig = Rig::start(HTTP).await;
    let content = bytes::Bytes::from(vec![b'x'; limits::UPSTREAM_STREAM_WINDOW_BYTES as usize]);
    let answer = move |head: &hyper::http::request::Parts, _: &bytes::Bytes| {
        use http_body_util::BodyExt as _;
        let size = if head.uri.path() == "/large" { content.len() } else { 2 };
        Response::new(http_body_util::Full::new(content.slice(..size)).boxed())
    };
    let seen = rig.provider(crate::client::H2, answer).await;
    let mut idle = Vec::new();
    for _ in 0..2 * limits::UPSTREAM_STREAMS_MAX {
        let mut client = rig.client(H1).await;
        let answer = client.send(request("GET", "/large", "")).await;
        idle.push((client, answer));
    }
    let (_, content) = rig.ask(request("GET", "/small", "")).await;
    assert_eq!(content, "xx");
    assert!(seen.connections() <= 3, "{}", seen.connections());
    drop(idle);
}
