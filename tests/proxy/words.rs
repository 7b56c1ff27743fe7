// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a refusal of a body that was not understood says: why, and what to send instead.

use enforcer_core::model::limits;
use hyper::Request;

use crate::client::{Body, H1, request};
use crate::rig::{CHATS, Rig};

const CHAT: &str = "/v1/chat/completions";

fn typed(kind: &str) -> Request<Body> {
    let mut request = request("POST", CHAT, "{}");
    request.headers_mut().insert("content-type", kind.parse().unwrap());
    request
}

fn cases() -> Vec<(Request<Body>, &'static str)> {
    let large = " ".repeat(limits::REQUEST_BODY_BYTES_MAX + 1);
    vec![
        (
            request("POST", CHAT, "model=gpt-4.1"),
            "the body is not JSON (expected value at line 1 column 1); send valid JSON",
        ),
        (
            request("POST", CHAT, large),
            "the body has 32.1 MiB; the limit is 32 MiB; send less in one request",
        ),
        (
            request("POST", &format!("{CHAT}?model=o3"), "{}"),
            "the query has `model`, which the API does not have there; leave it out of the query",
        ),
        (
            typed("text/plain"),
            "the body is declared as `text/plain`, not as JSON in UTF-8; send it as the API documents it",
        ),
        (
            typed("text/plain; maria.lopez@example.com"),
            "the body is declared as `text/plain; [email]`, not as JSON in UTF-8",
        ),
        (
            request("POST", CHAT, r#"{"model":"gpt-4.1","model":"o3","messages":[]}"#),
            "a field of the body is not as the API describes it; send the fields that the API documents",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_of_a_body_that_was_not_understood_says_why() {
    let (rig, _provider) = Rig::with_stand_in(CHATS).await;
    for (index, (request, why)) in cases().into_iter().enumerate() {
        let (head, answer) = rig.client(H1).await.whole(request).await;
        assert_eq!(head.status, 403, "{answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("(no rule permits it): {why}")), "{why}: {message}");
        let opened = &rig.opened(index + 1).await[index];
        let told = opened.denied.as_ref().unwrap().message.as_deref().unwrap();
        assert!(told.starts_with(why), "the record has the same words: {told}");
        assert!(opened.decision.message.is_none(), "the operator said nothing");
    }
    assert!(!rig.stores("maria.lopez@example.com").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_words_come_after_what_is_wrong() {
    let rules = format!(
        "{CHATS}@id(\"no\") @message(\"Ask the platform team.\")\nforbid (principal, action == Action::\"opaque\", resource);"
    );
    let (rig, _provider) = Rig::with_stand_in(&rules).await;
    let (_, answer) = rig.client(H1).await.whole(request("POST", CHAT, "[")).await;
    assert!(answer.contains("; send valid JSON. Ask the platform team."), "{answer}");
}
