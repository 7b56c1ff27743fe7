// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `enforcer session why` says of refusals as they really happen: the same reason that the agent received, the
//! step, the facts, and advice that fits them.

use bytes::Bytes;
use enforcer_core::model::{DenyReason, ExchangeId};
use enforcer_core::record::EventBody;
use enforcer_tests::Authority;
use enforcer_user::approval::Person;
use enforcer_user::cli::Exit;
use enforcer_user::cli::paint::Paint;
use enforcer_user::cli::session::{By, why};
use enforcer_user::cli::source::Source;
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;
use hyper::Response;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Body, H1, chat, chat_request, read_all, request};
use crate::provider::{Seen, full, listen, server_config};
use crate::rig::{CHATS, HOST, Rig, policy_with};

const PLAIN: Paint = Paint { colors: false };

/// What `why` says of an exchange of this rig: the exit code, the text and the JSON.
async fn asked(rig: &Rig, number: u64) -> (Exit, String, Value) {
    let journal = rig.enforcer.journal.clone();
    journal.sync().await.unwrap();
    let source = Source::Offline(journal.reader().unwrap());
    let id = ExchangeId { session: rig.session, number };
    let (exit, text) = why(&source, id, By::Nothing, PLAIN, false).await.unwrap();
    let (same, json) = why(&source, id, By::Nothing, PLAIN, true).await.unwrap();
    assert_eq!(exit, same);
    (exit, text, serde_json::from_str(&json).unwrap())
}

/// Waits for the end of the only exchange, and expects that `why` says this of it.
async fn expect(rig: &Rig, reason: DenyReason, fact: &str, advice: &str) {
    rig.until("the refusal", |events| {
        events.iter().any(|event| match &event.body {
            EventBody::ExchangeOpened(opened) => opened.denied.is_some(),
            EventBody::ExchangeClosed(_) => true,
            EventBody::TunnelClosed { denied, .. } => denied.is_some(),
            _ => false,
        })
    })
    .await;
    let (exit, text, json) = asked(rig, 1).await;
    assert_eq!(exit, Exit::Difference, "{text}");
    let (step, code) = (reason.step().word(), reason.code());
    assert_eq!((&json["step"], &json["denied"]["reason"]), (&step.into(), &code.into()), "{text}");
    let has = |start: &str, part: &str| {
        text.lines().any(|line| line.starts_with(start) && line.contains(part))
    };
    assert!(has("outcome: ", &format!("at the step `{step}`: ")), "{text}");
    assert!(has("fact: ", fact), "`{fact}` is no fact of\n{text}");
    assert!(has("advice: ", advice), "`{advice}` is no advice of\n{text}");
    assert!(!text.contains("ann@example.com"), "{text}");
}

/// Sends a request that is refused for this reason.
async fn refused(rig: &Rig, request: hyper::Request<Body>, reason: DenyReason) {
    let (head, answer) = rig.ask(request).await;
    assert_eq!(head.headers["x-enforcer-denied"], reason.code(), "{answer}");
}

fn hello() -> hyper::Request<Body> {
    chat_request(&chat("gpt-4.1", false, "hello"))
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_the_header_in_which_something_cannot_be_masked() {
    let rig = Rig::start(CHATS).await;
    let mut request = hello();
    request.headers_mut().insert("user-agent", "for ann@example.com".parse().unwrap());
    let (head, answer) = rig.ask(request).await;
    assert_eq!(head.headers["x-enforcer-denied"], "request_undecodable");
    let told = "the text in the header `user-agent` cannot be masked there; remove it";
    assert!(answer.contains(told), "{answer}");
    let advice = "remove the text from the header `user-agent`";
    expect(&rig, DenyReason::RequestUndecodable, "the header `user-agent` holds", advice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_the_rules_or_that_there_is_none() {
    let rig = Rig::start(CHATS).await;
    refused(&rig, chat_request(&chat("gpt-9", false, "hi")), DenyReason::Policy).await;
    expect(&rig, DenyReason::Policy, "denied by approved-models", "the rule that forbids").await;
    let rig = Rig::start(CHATS).await;
    refused(&rig, request("GET", "/v1/models", ""), DenyReason::Policy).await;
    expect(&rig, DenyReason::Policy, "because no rule permits it", "write one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_shows_the_account_and_the_amounts_of_a_spent_budget() {
    let rig = Rig::start(CHATS).await;
    let budget = "[budgets.daily]\nper = \"agent\"\ntokens = 3\nwindow = \"1d\"\n";
    let rule =
        "@id(\"c\") @budget(\"daily\") permit (principal, action == Action::\"chat\", resource);";
    rig.enforce(policy_with("enforce", budget, rule));
    refused(&rig, hello(), DenyReason::BudgetSpent).await;
    let fact = "`daily/agent:support` has 3 of 3 tokens left (0 used, 0 reserved), ";
    expect(&rig, DenyReason::BudgetSpent, fact, "ask for a larger budget").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_the_credential_that_is_not_there() {
    let rig = Rig::start(CHATS).await;
    let key =
        "[credentials.key]\nsecret = \"file:/none\"\nheader = \"x-k\"\nvalue = \"{secret}\"\n";
    let rule =
        "@id(\"c\") @credential(\"key\") permit (principal, action == Action::\"chat\", resource);";
    rig.enforce(policy_with("enforce", key, rule));
    refused(&rig, hello(), DenyReason::CredentialUnavailable).await;
    let advice = "`[credentials.key]`";
    expect(&rig, DenyReason::CredentialUnavailable, "credential `key`: No such file", advice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_what_people_were_asked() {
    let approvals = "[approvals.leads]\nby = [\"user:ann\"]\nhold = \"HOLD\"\n";
    let rule = "@id(\"c\") @approve(\"leads\") permit (principal, action in \
        [Action::\"chat\", Action::\"file_upload\"], resource);";
    let rig = Rig::start(CHATS).await;
    rig.enforce(policy_with("enforce", &approvals.replace("HOLD", "1s"), rule));
    refused(&rig, hello(), DenyReason::ApprovalPending).await;
    expect(&rig, DenyReason::ApprovalPending, "needs approval `leads`", "send the same request")
        .await;

    let rig = Rig::start(CHATS).await;
    rig.enforce(policy_with("enforce", &approvals.replace("HOLD", "60s"), rule));
    let person = async {
        rig.until("a question", |events| {
            events.iter().any(|event| matches!(event.body, EventBody::ApprovalAsked { .. }))
        })
        .await;
        let (id, _) = rig.enforcer.approvals.all().pop().unwrap();
        let ann = Person { user: "ann".to_owned(), ..Person::default() };
        rig.enforcer.approvals.answer(id, &ann, false).unwrap();
    };
    tokio::join!(refused(&rig, hello(), DenyReason::ApprovalRefused), person);
    expect(&rig, DenyReason::ApprovalRefused, "needs approval `leads`", "ask the person").await;

    let rig = Rig::start(CHATS).await;
    rig.enforce(policy_with("enforce", &approvals.replace("HOLD", "60s"), rule));
    let binary = request("POST", "/v1/files", Bytes::from_static(b"\xff\xfe"));
    refused(&rig, binary, DenyReason::ApprovalNotShowable).await;
    expect(&rig, DenyReason::ApprovalNotShowable, "not text in UTF-8", "send it as text").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_the_provider_that_gives_no_answer() {
    let rig = Rig::start(CHATS).await;
    refused(&rig, hello(), DenyReason::UpstreamName).await;
    expect(&rig, DenyReason::UpstreamName, "no address for `api.openai.com`", "resolver").await;

    let rig = Rig::start(CHATS).await;
    rig.resolve(HOST, "127.0.0.1:1".parse().unwrap());
    refused(&rig, hello(), DenyReason::UpstreamUnreachable).await;
    let reason = DenyReason::UpstreamUnreachable;
    expect(&rig, reason, "failed to connect to `api.openai.com`", "network").await;

    let rig = Rig::start(CHATS).await;
    let stranger = Authority::new("stranger").unwrap();
    let tls = server_config(&stranger, HOST, H1);
    rig.resolve(HOST, listen(tls, Seen::default(), |_stream| async {}).await);
    refused(&rig, hello(), DenyReason::UpstreamCertificate).await;
    let reason = DenyReason::UpstreamCertificate;
    expect(&rig, reason, "certificate of `api.openai.com` refused", "`[upstream] roots`").await;

    let rig = Rig::start(CHATS).await;
    let tls = server_config(&rig.authority, HOST, H1);
    let garbage = listen(tls, Seen::default(), |mut stream| async move {
        let mut request = [0; 64];
        // It listens until the other side has enough of it.
        while let Ok(1..) = stream.read(&mut request).await {
            drop(stream.write_all(b"no answer at all\r\n\r\n").await);
        }
    });
    rig.resolve(HOST, garbage.await);
    let (head, answer) = rig.ask(hello()).await;
    assert_eq!(head.headers["x-enforcer-denied"], "upstream_protocol");
    let told = "Enforcer withheld the answer: the provider's answer is not valid";
    assert!(answer.contains(told), "{answer}");
    expect(&rig, DenyReason::UpstreamProtocol, "exchange with", "report the provider").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_says_what_is_wrong_with_an_answer() {
    let masked = "@id(\"c\") @mask_response(\"pii\") permit (principal, action == Action::\"chat\", resource);";
    let reason = DenyReason::ResponseUndecodable;
    for (kind, content, fact, advice) in [
        ("text/plain", "hello", "neither JSON nor an event stream", "without a mask"),
        ("application/json", "{", "not the JSON it says it is", "report the provider"),
    ] {
        let rig = Rig::start(masked).await;
        rig.provider(H1, move |_, _| full(kind, content)).await;
        let (head, answer) = rig.ask(hello()).await;
        assert_eq!(head.headers["x-enforcer-denied"], "response_undecodable", "{answer}");
        assert!(answer.contains("Enforcer withheld the answer: "), "{answer}");
        expect(&rig, reason, fact, advice).await;
    }
    let rig = Rig::start(masked).await;
    rig.provider(H1, |_, _| {
        let mut answer = full("application/json", "{}");
        answer.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        answer
    })
    .await;
    refused(&rig, hello(), reason).await;
    expect(&rig, reason, "the answer is encoded", "without compression").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_says_that_an_answer_was_cut_and_what_was_wrong_in_it() {
    let masked = "@id(\"c\") @mask_response(\"pii\") permit (principal, action == Action::\"chat\", resource);";
    let rig = Rig::start(masked).await;
    rig.provider(H1, |_, _| full("text/event-stream", "data: {\"choices\":[\n\n")).await;
    let (head, answer) = rig.ask(chat_request(&chat("gpt-4.1", true, "hi"))).await;
    assert_eq!(
        (head.status.as_u16(), answer.contains("enforcer_response_undecodable")),
        (200, true)
    );
    let reason = DenyReason::ResponseUndecodable;
    expect(&rig, reason, "the data of an event is not valid JSON", "report the provider").await;
    let (_, text, json) = asked(&rig, 1).await;
    assert!(json["outcome"] == "cut" && text.contains("outcome: cut at the step"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_an_agent_that_left_and_an_exchange_that_goes_on() {
    let rig = Rig::start(CHATS).await;
    let (sender, body) = Channel::<Bytes, std::convert::Infallible>::new(1);
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    rig.provider(H1, move |_, _| {
        let body = body.lock().unwrap().take().unwrap();
        Response::builder().header("content-type", "text/event-stream").body(body.boxed()).unwrap()
    })
    .await;
    let mut client = rig.client(H1).await;
    let answer = client.send(chat_request(&chat("gpt-4.1", true, "hi"))).await;
    assert_eq!(answer.status(), 200);
    let (exit, text, json) = asked(&rig, 1).await;
    // This source has no daemon behind it, as far as it knows.
    assert_eq!((exit, &json["outcome"]), (Exit::Fine, &"lost".into()), "{text}");
    drop((answer, client));
    rig.closed(1).await;
    drop(sender);
    let (exit, text, json) = asked(&rig, 1).await;
    assert_eq!((exit, &json["outcome"]), (Exit::Fine, &"agent_left".into()), "{text}");
    assert!(text.contains("outcome: agent left, before its answer was whole\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_a_server_that_a_tunnel_does_not_reach() {
    let permit = "@id(\"sealed\") permit (principal, action == Action::\"connect\", resource);";
    let rig = Rig::start(permit).await;
    rig.resolve("sealed.example.com", "127.0.0.1:1".parse().unwrap());
    let mut stream = rig.tcp().await;
    let config = crate::client::config(&rig.ca, &[H1]);
    let name = "sealed.example.com".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    stream.write_all(&hello).await.unwrap();
    read_all(&mut stream).await;
    let reason = DenyReason::UpstreamUnreachable;
    expect(&rig, reason, "failed to connect to `sealed.example.com`", "network").await;
    let labels = ["support", "sealed", reason.code(), ""].map(str::to_owned);
    let denied = rig.enforcer.denials.denied_counts();
    assert_eq!(denied.get(&labels[..]), Some(&1), "one line, and counted: {denied:?}");
}
