// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests that wait for a person: nothing is sent before the answer, and only what was shown.

use bytes::Bytes;
use enforcer_core::record::EventBody;
use enforcer_user::approval::{Person, Question, QuestionId, Standing};
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use serde_json::{Value, json};

use crate::client::{H1, chat, chat_request, request};
use crate::provider::{Seen, full};
use crate::rig::{CHATS, LIMIT, Rig, outcome, policy_with};

/// Longer than every wait of the product, by the clock of the runtime.
const AGES: std::time::Duration = std::time::Duration::from_secs(4 * 3600);
const APPROVALS: &str = r#"
[approvals.leads]
by = ["user:ann"]
hold = "60s"
[approvals.hasty]
by = ["user:ann"]
hold = "1s"
"#;
const RULES: &str = r#"
@id("people-decide") @approve("leads") @mask_request("pii")
permit (principal, action == Action::"chat", resource);
@id("tuning") @approve("leads")
permit (principal, action == Action::"fine_tune", resource);
@id("uploads") @approve("hasty")
permit (principal, action == Action::"file_upload", resource);
"#;

fn ann() -> Person {
    Person { user: "ann".to_owned(), ..Person::default() }
}

async fn rig() -> (Rig, Seen) {
    let rig = Rig::start(CHATS).await;
    rig.enforce(policy_with("enforce", APPROVALS, RULES));
    let seen = rig.provider(H1, |_, _| full("application/json", Bytes::from_static(b"{}"))).await;
    (rig, seen)
}

/// Waits until somebody asks.
async fn asked(rig: &Rig, count: usize) -> (QuestionId, Question) {
    let has_asked = |events: &[enforcer_core::record::Event]| {
        let asks = events.iter().filter(|it| matches!(it.body, EventBody::ApprovalAsked { .. }));
        asks.count() >= count
    };
    rig.until("a question", has_asked).await;
    rig.enforcer.approvals.all().pop().expect("a question")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_is_sent_when_a_person_grants_it_as_it_was_shown() {
    let (rig, seen) = rig().await;
    let content = chat("gpt-4.1", false, "Mail maria.lopez@example.com.");
    let held = rig.ask(chat_request(&content));
    let person = async {
        let (id, question) = asked(&rig, 1).await;
        assert!(seen.requests().is_empty(), "nothing is out before the answer");
        let shown: Value = serde_json::from_str(question.body.as_deref().unwrap()).unwrap();
        assert_eq!(shown["messages"][0]["content"], "Mail [email].");
        assert_eq!(question.request_line, "POST /v1/chat/completions");
        assert_eq!(rig.enforcer.approvals.answer(id, &ann(), true), Ok(Standing::Granted));
        question
    };
    let ((head, _), question) = tokio::join!(held, person);
    assert_eq!(head.status, 200);
    let (_, sent) = seen.requests().remove(0);
    let shown = question.body.unwrap();
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
    assert_eq!(json(&sent), json(shown.as_bytes()), "what was shown is what was sent");
    let (id, _) = {
        let (again, person) = tokio::join!(rig.ask(chat_request(&content)), async {
            let found = asked(&rig, 2).await;
            rig.enforcer.approvals.answer(found.0, &ann(), false).unwrap();
            found
        });
        assert_eq!(
            again.0.headers["x-enforcer-denied"], "approval_refused",
            "a grant is used once"
        );
        person
    };
    assert!(rig.enforcer.approvals.answer(id, &ann(), true).is_err());
    assert_eq!(seen.requests().len(), 1);
    let closed = rig.closed(2).await;
    assert_eq!(closed.iter().map(outcome).collect::<Vec<_>>(), ["completed", "approval_refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waited_in_vain_is_told_how_to_resume_and_the_late_answer_counts() {
    let (rig, seen) = rig().await;
    let upload = || request("POST", "/v1/files", "the file");
    let (head, answer) = rig.ask(upload()).await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["x-enforcer-denied"]),
        (403, &"approval_pending".parse().unwrap())
    );
    assert!(answer.contains("question 1 waits for `hasty`"), "{answer}");
    assert!(seen.requests().is_empty());
    let (id, question) = asked(&rig, 1).await;
    assert_eq!((question.body_bytes, question.body), (8, None), "no codec masks a file");
    rig.enforcer.approvals.answer(id, &ann(), true).unwrap();
    let (other, _) = rig.ask(request("POST", "/v1/files", "another")).await;
    assert_eq!(other.headers["x-enforcer-denied"], "approval_pending", "that was not shown");
    let (head, _) = rig.ask(upload()).await;
    assert_eq!(head.status, 200);
    assert_eq!(seen.requests().remove(0).1, "the file");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_sends_nothing_even_if_it_is_granted_later() {
    let (rig, seen) = rig().await;
    let body = json!({ "model": "gpt-4.1", "training_file": "file-1" });
    let tune = request("POST", "/v1/fine_tuning/jobs", body.to_string());
    let mut client = rig.client(H1).await;
    let held = tokio::spawn(async move { client.send_within(LIMIT, tune).await });
    let (id, question) = asked(&rig, 1).await;
    assert_eq!(question.facts.operation.action(), "fine_tune");
    held.abort();
    let closed = rig.closed(1).await;
    assert_eq!(outcome(&closed[0]), "aborted");
    rig.enforcer.approvals.answer(id, &ann(), true).unwrap();
    assert!(seen.requests().is_empty());
}

#[tokio::test]
async fn nobody_is_asked_about_half_a_body_and_it_is_not_sent() {
    let (rig, seen) = rig().await;
    let (mut content, body) = Channel::<Bytes>::new(1);
    content.send_data(Bytes::from_static(b"half")).await.unwrap();
    let body = body.map_err(|never| match never {}).boxed();
    let upload = request("POST", "/v1/files", "").map(|_| body);
    let mut client = rig.client(H1).await;
    let (answer, ()) = tokio::join!(client.send_within(AGES, upload), async {
        rig.opened(1).await;
        // The writer of the record keeps real time: the exchange does not wait for it any more.
        rig.enforcer.journal.sync().await.unwrap();
        tokio::time::pause();
    });
    assert_eq!(answer.headers()["x-enforcer-denied"], "limit");
    tokio::time::resume();
    assert!(rig.enforcer.approvals.all().is_empty() && seen.requests().is_empty());
    drop(content);
}
