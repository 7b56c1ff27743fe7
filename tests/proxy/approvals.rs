// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests that wait for a person: nothing is sent before the answer, and only what was shown.

use bytes::Bytes;
use enforcer_core::model::{SessionId, limits};
use enforcer_core::record::EventBody;
use enforcer_user::approval::{NotTaken, Person, QuestionId, Shown, Standing};
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use hyper::Request;
use serde_json::{Value, json};

use crate::client::{Body, H1, chat, chat_request, request};
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

/// Waits until somebody asks, and looks at all of it.
async fn asked(rig: &Rig, count: usize) -> (QuestionId, Shown) {
    let has_asked = |events: &[enforcer_core::record::Event]| {
        let asks = events.iter().filter(|it| matches!(it.body, EventBody::ApprovalAsked { .. }));
        asks.count() >= count
    };
    rig.until("a question", has_asked).await;
    let (id, _) = rig.enforcer.approvals.all().pop().expect("a question");
    (id, rig.enforcer.approvals.show(id, &ann()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_is_sent_when_a_person_grants_it_as_it_was_shown() {
    let (rig, seen) = rig().await;
    let content = chat("gpt-4.1", false, "Mail maria.lopez@example.com.");
    let held = rig.ask(chat_request(&content));
    let person = async {
        let (id, question) = asked(&rig, 1).await;
        assert!(seen.requests().is_empty(), "nothing is out before the answer");
        let shown: Value = serde_json::from_str(&question.body).unwrap();
        assert_eq!(shown["messages"][0]["content"], "Mail [email].");
        assert!(!question.question.hides_content, "it is sent masked");
        assert_eq!(question.question.request_line, "POST /v1/chat/completions");
        assert_eq!(rig.enforcer.approvals.answer(id, &ann(), true), Ok(Standing::Granted));
        question
    };
    let ((head, _), question) = tokio::join!(held, person);
    assert_eq!(head.status, 200);
    let (_, sent) = seen.requests().remove(0);
    let shown = question.body;
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
    // What goes out unmasked and is hidden from the person is named as such.
    let hidden = rig.ask(request("POST", "/v1/files", "to ann@example.com")).await;
    assert_eq!(hidden.0.status, 403);
    let (id, question) = asked(&rig, 1).await;
    assert_eq!((question.question.hides_content, &*question.body), (true, "to [email]"));
    rig.enforcer.approvals.answer(id, &ann(), false).unwrap();
    let (head, answer) = rig.ask(upload()).await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["x-enforcer-denied"]),
        (403, &"approval_pending".parse().unwrap())
    );
    assert!(answer.contains("question 2 waits for `hasty`"), "{answer}");
    assert!(seen.requests().is_empty());
    let (id, question) = asked(&rig, 2).await;
    assert_eq!((question.question.body_bytes, &*question.body), (8, "the file"));
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
    assert_eq!(question.question.facts.operation.action(), "fine_tune");
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

/// Asks for an upload that nobody answers in time.
async fn pending(rig: &Rig, upload: Request<Body>) -> String {
    let (head, answer) = rig.ask(upload).await;
    assert_eq!(head.headers["x-enforcer-denied"], "approval_pending", "{answer}");
    answer
}

fn upload(header: (&'static str, &str)) -> Request<Body> {
    let mut upload = request("POST", "/v1/files", "the file");
    upload.headers_mut().insert(header.0, header.1.parse().unwrap());
    upload
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_for_the_session_and_the_user_that_were_shown() {
    let (rig, seen) = rig().await;
    let origin = rig.origins.0.lock().unwrap().clone().unwrap();
    let file = || upload(("accept", "text/plain"));
    pending(&rig, file()).await;
    let (id, shown) = asked(&rig, 1).await;
    assert_eq!((shown.question.uid, shown.question.session), (1000, origin.session));
    rig.enforcer.approvals.answer(id, &ann(), true).unwrap();
    let mut other = origin.clone();
    other.process.uid = 1001;
    *rig.origins.0.lock().unwrap() = Some(other);
    pending(&rig, file()).await;
    let mut other = origin.clone();
    other.session = SessionId::from_u64(origin.session.as_u64() + 1);
    *rig.origins.0.lock().unwrap() = Some(other);
    pending(&rig, file()).await;
    assert!(seen.requests().is_empty(), "the grant is another's");
    *rig.origins.0.lock().unwrap() = Some(origin);
    assert_eq!(rig.ask(file()).await.0.status, 200, "the same session takes it");
    assert_eq!(seen.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_for_the_headers_that_were_shown_and_a_retry_is_the_same_request() {
    let (rig, seen) = rig().await;
    pending(&rig, upload(("authorization", "Bearer sk-one"))).await;
    let (id, shown) = asked(&rig, 1).await;
    let names: Vec<_> = shown.question.headers.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["authorization", "content-type"]);
    assert!(shown.question.headers.iter().all(|it| it.fingerprint.is_some()));
    let written = serde_json::to_string(&shown.question).unwrap();
    assert!(!written.contains("sk-one"), "{written}");
    rig.enforcer.approvals.answer(id, &ann(), true).unwrap();
    let other = [
        ("authorization", "Bearer sk-two"),
        ("content-type", "text/csv"),
        ("openai-project", "proj_other"),
    ];
    for header in other {
        let mut upload = upload(("authorization", "Bearer sk-one"));
        upload.headers_mut().insert(header.0, header.1.parse().unwrap());
        pending(&rig, upload).await;
    }
    assert!(seen.requests().is_empty(), "that was not shown");
    let mut again = upload(("authorization", "Bearer sk-one"));
    for (name, value) in [("x-stainless-retry-count", "1"), ("x-request-id", "2")] {
        again.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(rig.ask(again).await.0.status, 200);
    assert_eq!(seen.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_the_bundle_stands_for_whatever_the_agent_sent() {
    let (rig, seen) = rig().await;
    let key = "[credentials.key]\nsecret = \"env:PATH\"\nheader = \"authorization\"\n\
               value = \"Bearer {secret}\"\n";
    let rules = RULES.replace("@id(\"uploads\")", "@id(\"uploads\") @credential(\"key\")");
    rig.enforce(policy_with("enforce", &format!("{APPROVALS}{key}"), &rules));
    pending(&rig, upload(("authorization", "Bearer sk-one"))).await;
    let (id, shown) = asked(&rig, 1).await;
    let found = shown.question.headers.iter().find(|it| it.name == "authorization").unwrap();
    assert_eq!(found.fingerprint, None);
    rig.enforcer.approvals.answer(id, &ann(), true).unwrap();
    let (head, answer) = rig.ask(upload(("authorization", "Bearer sk-two"))).await;
    assert_eq!(head.status, 200, "{answer}");
    assert!(!seen.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shown_whole_is_refused_at_once_and_nobody_is_asked() {
    let (rig, seen) = rig().await;
    let large = "x".repeat(limits::APPROVAL_SHOWN_BYTES_MAX + 1);
    let (mut content, body) = Channel::<Bytes>::new(1);
    let piece = large.clone();
    let sending = tokio::spawn(async move {
        // The other side may stop reading.
        drop(content.send_data(piece.into()).await);
    });
    let body = body.map_err(|never| match never {}).boxed();
    let undeclared = request("POST", "/v1/files", "").map(|_| body);
    let tune = json!({ "model": "m", "training_file": "f", "suffix": large });
    for (asked, words) in [
        (request("POST", "/v1/files", large), "send less in one request"),
        (undeclared, "send less in one request"),
        (request("POST", "/v1/fine_tuning/jobs", tune.to_string()), "send less in one request"),
        (request("POST", "/v1/files", &b"\xff\xfe\x00"[..]), "not text in UTF-8"),
    ] {
        let (head, answer) = rig.ask(asked).await;
        let code = (head.status.as_u16(), head.headers["x-enforcer-denied"].to_str().unwrap());
        assert_eq!(code, (403, "approval_not_showable"), "{answer}");
        assert!(answer.contains(words), "{answer}");
    }
    sending.await.unwrap();
    assert!(rig.enforcer.approvals.all().is_empty() && seen.requests().is_empty());
    // The most that can be shown is.
    let most = "x".repeat(limits::APPROVAL_SHOWN_BYTES_MAX);
    pending(&rig, request("POST", "/v1/files", most.clone())).await;
    let (id, shown) = asked(&rig, 1).await;
    assert_eq!(*shown.body, most);
    let nobody = Person { user: "bob".to_owned(), ..Person::default() };
    assert!(matches!(
        rig.enforcer.approvals.answer(id, &nobody, true),
        Err(NotTaken::NotYours { .. })
    ));
}
