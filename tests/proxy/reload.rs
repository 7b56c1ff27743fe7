// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bundle changes while thousands of requests are under way: each is judged by one version, the one in its
//! record, from its facts to its last obligation.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use enforcer_core::model::{Effect, Operation, PolicyVersion};
use enforcer_core::policy::Policy;
use enforcer_user::daemon::load_policy;
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use hyper::Response;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{H2, Sender, chat, chat_request};
use crate::rig::{CHATS, Rig, closed, opened, outcome};

const SWAPS: usize = 100;
/// One request of each goes out at each turn.
const CONNECTIONS: usize = 50;
const REQUESTS: usize = SWAPS * CONNECTIONS;
/// Far above what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The bundle of a turn: two that mask in different styles and refuse different requests, and one in five that
/// is not valid. Each text is another one, so that each has a version of its own.
fn write_bundle(folder: &Path, turn: usize) {
    let style = if turn.is_multiple_of(2) { "label" } else { "hash" };
    let inventory = format!(
        "version = 1\n# turn {turn}\n[agents.support]\n[endpoints.openai]\nhosts = [\"api.openai.com\"]\n\
         protocol = \"openai\"\n[masks.pii]\ndetectors = [\"email\"]\nstyle = \"{style}\"\n"
    );
    let last = turn % 10;
    let broken = if turn % 5 == 4 { "permit (principal, action, resource" } else { "" };
    let rules = format!(
        "@id(\"chats\") @mask_request(\"pii\") permit (principal, action == Action::\"chat\", resource);\n\
         @id(\"not-{last}\") forbid (principal, action == Action::\"chat\", resource)\n\
         when {{ context.model like \"*{last}\" }};\n{broken}"
    );
    std::fs::write(folder.join("policy.toml"), inventory).unwrap();
    std::fs::write(folder.join("rules.cedar"), rules).unwrap();
}

/// Answers that begin at once and end when the gate opens; each arrival is counted.
async fn provider(
    rig: &Rig,
    gate: watch::Receiver<bool>,
    judged: watch::Sender<usize>,
) -> crate::provider::Seen {
    let answer = move |_: &hyper::http::request::Parts, _: &Bytes| {
        let mut gate = gate.clone();
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(2);
        tokio::spawn(async move {
            sender.send_data(Bytes::from_static(b"{")).await.unwrap();
            gate.wait_for(|is_open| *is_open).await.unwrap();
            sender.send_data(Bytes::from_static(b"\"choices\":[]}")).await.unwrap();
        });
        judged.send_modify(|count| *count += 1);
        let answer = Response::builder().header("content-type", "application/json");
        answer.body(body.boxed()).unwrap()
    };
    rig.provider(H2, answer).await
}

/// Waits until so many requests were judged: those that arrived at the provider, and those that were denied.
async fn until(judged: &watch::Sender<usize>, count: usize) {
    let mut judged = judged.subscribe();
    let enough = judged.wait_for(|found| *found >= count);
    tokio::time::timeout(PATIENCE, enough).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_requests_under_way_meet_a_hundred_bundles_and_each_meets_one() {
    let rig = Arc::new(Rig::start(CHATS).await);
    let folder = tempfile::tempdir().unwrap();
    let mut versions: BTreeMap<PolicyVersion, (usize, Arc<Policy>)> = BTreeMap::new();
    let mut swap = |turn: usize| {
        write_bundle(folder.path(), turn);
        let Ok(policy) = load_policy(folder.path()) else { return turn % 5 == 4 };
        let policy = Arc::new(policy);
        versions.insert(policy.version().clone(), (turn, Arc::clone(&policy)));
        rig.enforcer.policy.store(policy);
        turn % 5 != 4
    };
    assert!(swap(0));
    let (open, gate) = watch::channel(false);
    let judged = watch::Sender::new(0);
    let seen = provider(&rig, gate, judged.clone()).await;
    let turns = watch::Sender::new(0);
    let mut asked = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let Sender::H2(sender) = rig.client(H2).await else { unreachable!() };
        for turn in 0..SWAPS {
            let (mut sender, judged) = (sender.clone(), judged.clone());
            let mut turns = turns.subscribe();
            let number = turn * CONNECTIONS + connection;
            asked.spawn(async move {
                turns.wait_for(|found| *found >= turn).await.unwrap();
                let model = format!("m-{number}");
                let request = chat_request(&chat(&model, false, "to ann@example.com"));
                let answer = sender.send_request(request).await.unwrap();
                let status = answer.status().as_u16();
                if status == 403 {
                    judged.send_modify(|count| *count += 1);
                }
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                (number, status, body)
            });
        }
    }
    for turn in 1..SWAPS {
        // The next ones race with the swap; the ones before are under way all the time.
        turns.send_replace(turn);
        assert!(swap(turn), "turn {turn}");
        until(&judged, turn * CONNECTIONS).await;
    }
    until(&judged, REQUESTS).await;
    open.send_replace(true);
    let mut answers = BTreeMap::new();
    while let Some(answer) = tokio::time::timeout(PATIENCE, asked.join_next()).await.unwrap() {
        let (number, status, body) = answer.unwrap();
        answers.insert(number, (status, body));
    }
    assert_eq!(answers.len(), REQUESTS, "none is dropped");
    check(&rig, &versions, &answers, &seen).await;
}

async fn check(
    rig: &Rig,
    versions: &BTreeMap<PolicyVersion, (usize, Arc<Policy>)>,
    answers: &BTreeMap<usize, (u16, Bytes)>,
    seen: &crate::provider::Seen,
) {
    let events = rig.events().await;
    let opened = opened(&events);
    let received: BTreeMap<String, String> = seen
        .requests()
        .iter()
        .map(|(_, body)| {
            let json: serde_json::Value = serde_json::from_slice(body).unwrap();
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            (text(&json["model"]), text(&json["messages"][0]["content"]))
        })
        .collect();
    let mut met = BTreeSet::new();
    for exchange in &opened {
        let (turn, policy) = &versions[&exchange.decision.policy];
        met.insert(*turn);
        assert_eq!(policy.decide(&exchange.facts), exchange.decision, "judged by its version");
        let Operation::Chat(chat) = &exchange.facts.operation else { panic!("{exchange:?}") };
        let number: usize = chat.model.strip_prefix("m-").unwrap().parse().unwrap();
        let (status, body) = &answers[&number];
        match exchange.decision.effect {
            Effect::Allow => {
                assert_eq!((*status, &body[..]), (200, &b"{\"choices\":[]}"[..]));
                let sent = &received[&chat.model];
                let is_label = sent == "to [email]";
                assert!(is_label || sent.starts_with("to [email:"), "{sent}");
                assert_eq!(is_label, turn.is_multiple_of(2), "masked by its version: {sent}");
            }
            Effect::Deny => {
                assert_eq!(*status, 403);
                let rule = format!("not-{}", turn % 10);
                assert!(String::from_utf8_lossy(body).contains(&rule), "told by its version");
                assert!(!received.contains_key(&chat.model));
            }
        }
    }
    assert!(met.len() > SWAPS / 2, "{met:?}");
    let allowed = opened.iter().filter(|it| it.decision.effect == Effect::Allow).count();
    let closed = closed(&rig.until("every end", |events| closed(events).len() == allowed).await);
    assert!(closed.iter().all(|it| outcome(it) == "completed"));
    rig.verify().await;
}
