// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer session why` and the outcome never disagree: every reason, at the decision and after it, and every way in
//! which an exchange can end.

use enforcer_core::budget::Amount;
use enforcer_core::model::{ApprovalName, CredentialName, OpaqueCause, Step};
use enforcer_core::record::{AnswerFault, Cause, Limited, Shortage, ShownFault};
use enforcer_user::store::Reader;
use serde_json::Value;

use super::*;

/// What is recorded after the decision.
#[derive(Clone, Debug)]
enum End {
    Nothing,
    /// The session is over, and so is everything in it.
    NothingMore,
    Left(Option<u16>),
    Whole,
    /// Refused, with the status that the agent received and the bytes of the answer that reached it.
    Refused(DenyReason, Option<u16>, u64),
}

fn endings() -> Vec<End> {
    let mut ends = vec![End::Nothing, End::NothingMore, End::Left(None), End::Left(Some(200))];
    ends.push(End::Whole);
    for reason in DenyReason::ALL {
        ends.push(End::Refused(reason, Some(reason.http_status()), 0));
        ends.push(End::Refused(reason, None, 0));
        ends.push(End::Refused(reason, Some(200), 0));
        ends.push(End::Refused(reason, Some(reason.http_status()), 7));
    }
    ends
}

/// What the record says of such an exchange: the outcome, and the reason of a refusal.
fn expected(at_once: Option<DenyReason>, end: &End) -> (&'static str, Option<DenyReason>) {
    if at_once.is_some() {
        return ("denied", at_once);
    }
    match end {
        // No daemon runs, so nobody is left to write an end down.
        End::Nothing | End::NothingMore => ("lost", None),
        End::Left(_) => ("agent_left", None),
        End::Whole => ("answered", None),
        End::Refused(reason, status, bytes) => {
            let is_theirs = status.is_some_and(|status| status != reason.http_status());
            (if is_theirs || *bytes > 0 { "cut" } else { "denied" }, Some(*reason))
        }
    }
}

async fn record_one(journal: &Journal, session: SessionId, at_once: Option<DenyReason>, end: &End) {
    let append = async |body| journal.append(session, NOW, body).await.expect("taken");
    let exchange = journal.next_exchange(session);
    let reference = BodyRef { hash: String::new(), stored_bytes: 0, seen_bytes: 0 };
    let is_by_rules = at_once == Some(DenyReason::Policy);
    let effect = if is_by_rules { Effect::Deny } else { Effect::Allow };
    let opened = opened(exchange, "gpt-4.1", effect, reference);
    let EventBody::ExchangeOpened(mut judged) = opened else { panic!("opened") };
    judged.request = None;
    judged.denied = at_once.map(Denied::because);
    append(EventBody::ExchangeOpened(judged)).await;
    let (outcome, status, bytes_down) = match end {
        End::Nothing => return,
        End::NothingMore => return append(EventBody::SessionClosed {}).await,
        End::Left(status) => (ExchangeOutcome::Aborted, *status, 0),
        End::Whole => (ExchangeOutcome::Completed, Some(200), 9),
        End::Refused(reason, status, bytes) => {
            (ExchangeOutcome::Denied(Denied::because(*reason)), *status, *bytes)
        }
    };
    let closed = ExchangeClosed { outcome, status, bytes_down, ..closed(exchange) };
    append(EventBody::ExchangeClosed(closed)).await;
}

#[test]
fn the_verdict_the_exit_code_and_the_json_are_what_the_record_says_whatever_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let at_once = std::iter::once(None).chain(DenyReason::ALL.map(Some));
    // What was refused at once has one way to end; nothing that came later changes it.
    let cases = at_once.flat_map(|reason| {
        let ends = endings().into_iter();
        let ends = ends.filter(move |end| match end {
            End::Refused(later, status, bytes) => {
                reason.is_none() || (*status, *bytes) == (Some(later.http_status()), 0)
            }
            End::Nothing | End::NothingMore | End::Left(_) | End::Whole => true,
        });
        ends.map(move |end| (reason, end))
    });
    let cases: Vec<(Option<DenyReason>, End)> = cases.collect();
    let session = |number: usize| SessionId::from_u64(0x1_0000 + number as u64);
    let source = block_on(async {
        let store = Store::open(&Config::at(path.clone()), NOW).expect("a journal");
        for (number, (reason, end)) in cases.iter().enumerate() {
            record_one(&store.journal(), session(number), *reason, end).await;
        }
        store.close().await.expect("sealed");
        Source::Offline(Reader::open(&Config::at(path)).expect("a stopped journal"))
    });
    for (number, (reason, end)) in cases.iter().enumerate() {
        let exchange = ExchangeId { session: session(number), number: 1 };
        let ask = |is_json| {
            let by = session::By::Nothing;
            let answer = block_on(session::why(&source, exchange, by, PLAIN, is_json));
            answer.unwrap_or_else(|failure| panic!("{failure:?}"))
        };
        let ((exit, text), (json_exit, json)) = (ask(false), ask(true));
        let json: Value = serde_json::from_str(&json).expect("JSON");
        let (outcome, refused) = expected(*reason, end);
        let what = format!("{reason:?}, then {end:?}: {text}");
        let is_denied = refused.is_some();
        let code = if is_denied { Exit::Difference } else { Exit::Fine };
        assert_eq!((exit, json_exit), (code, code), "{what}");
        let verdict = text.lines().find_map(|line| line.strip_prefix("outcome: ")).expect("one");
        assert!(verdict.starts_with(&outcome.replace('_', " ")), "{what}");
        assert_eq!(json["outcome"], outcome, "{what}");
        assert_eq!(json["denied"].is_null(), !is_denied, "{what}");
        let Some(reason) = refused else {
            assert!(json["step"].is_null() && json["advice"].is_null(), "{what}");
            continue;
        };
        let (step, code) = (reason.step().word(), reason.code());
        assert!(verdict.contains(&format!("`{step}`")), "{what}");
        assert!(verdict.ends_with(&format!("[{code}]")), "{what}");
        assert_eq!((&json["step"], &json["denied"]["reason"]), (&step.into(), &code.into()));
        let advice = json["advice"].as_str().expect("advice");
        assert!(text.contains(&format!("advice: {advice}\n")), "{what}");
    }
}

fn causes() -> Vec<(DenyReason, Cause, &'static str, &'static str)> {
    let needs = BTreeSet::from([ApprovalName::new("lead")]);
    let amount = |tokens, requests| Amount { tokens, requests };
    let shortage = Shortage {
        account: "daily/agent:support".into(),
        tokens: Some(100),
        requests: None,
        used: amount(80, 3),
        reserved: amount(5, 1),
        needs: amount(40, 1),
        until: NOW,
    };
    let undecodable = DenyReason::RequestUndecodable;
    let body = |opaque| Cause::Body { opaque, detail: None };
    vec![
        (
            DenyReason::BudgetSpent,
            Cause::Budget(Box::new(shortage)),
            "`daily/agent:support` has 15 of 100 tokens left (80 used, 5 reserved), 40 needed",
            "ask for a larger budget",
        ),
        (
            DenyReason::ApprovalRefused,
            Cause::Approval { question: 4, needs },
            "refused by maria",
            "ask the person who refused it",
        ),
        (
            DenyReason::CredentialUnavailable,
            Cause::Credential { name: CredentialName::new("key"), why: "no such file".into() },
            "credential `key`: no such file",
            "`[credentials.key]` in policy.toml",
        ),
        (
            undecodable,
            Cause::Header { name: "x-note".into() },
            "the header `x-note` holds what has to be masked",
            "remove the text from the header `x-note`",
        ),
        (undecodable, Cause::RequestLine {}, "the path or the query", "remove the text"),
        (undecodable, body(Some(OpaqueCause::NotJson)), "the body is not JSON", "send valid JSON"),
        (
            undecodable,
            Cause::Body { opaque: Some(OpaqueCause::Encoding), detail: Some("under `xyz`".into()) },
            "under `xyz`",
            "plain or with gzip, br, zstd or deflate",
        ),
        (undecodable, body(None), "nothing reads this kind of body", "without a mask"),
        (
            DenyReason::Limit,
            Cause::Limit { limit: Limited::Questions },
            "too many questions wait for people",
            "`enforcer approval list`",
        ),
        (
            DenyReason::ApprovalNotShowable,
            Cause::Unshowable { fault: ShownFault::NotText },
            "not text in UTF-8",
            "send it as text",
        ),
        (
            DenyReason::ResponseUndecodable,
            Cause::Answer { fault: AnswerFault::Encoded },
            "the answer is encoded",
            "report the provider",
        ),
        (
            DenyReason::ResponseUndecodable,
            Cause::Answer { fault: AnswerFault::TooLarge },
            "larger than can be read",
            "or for a stream",
        ),
    ]
}

#[test]
fn the_facts_of_a_refusal_are_shown_with_advice_that_fits_them() {
    for (reason, cause, fact, advice) in causes() {
        let recorded = Recorded::new();
        block_on(async {
            let store = Store::open(&Config::at(recorded.journal()), NOW).expect("a journal");
            let journal = store.journal();
            let exchange = journal.next_exchange(SESSION);
            let asked = body(&journal, "{}");
            let opened = opened(exchange, "gpt-4.1", Effect::Allow, asked);
            journal.append(SESSION, NOW, opened).await.expect("taken");
            let answered = EventBody::ApprovalAnswered {
                exchange,
                question: 4,
                approvals: BTreeSet::from([ApprovalName::new("lead")]),
                digest: String::new(),
                grants: false,
                by: "maria".to_owned(),
            };
            journal.append(SESSION, NOW, answered).await.expect("taken");
            let closed = ExchangeClosed {
                outcome: ExchangeOutcome::Denied(Denied::because(reason)),
                cause: Some(cause.clone()),
                status: Some(reason.http_status()),
                ..closed(exchange)
            };
            journal.append(SESSION, NOW, EventBody::ExchangeClosed(closed)).await.expect("taken");
            store.close().await.expect("sealed");
        });
        let why = ["session", "why", "0000000000001234-3"];
        let (exit, text) = recorded.ask(&why);
        assert_eq!(exit, Exit::Difference);
        let line = |start: &str, part: &str| {
            text.lines().any(|line| line.starts_with(start) && line.contains(part))
        };
        assert!(line("fact: ", fact) && line("advice: ", advice), "{cause:?}: {text}");
        let (_, json) = recorded.ask(&[&why[..], &["--output", "json"]].concat());
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["cause"], serde_json::to_value(&cause).expect("JSON"));
        assert!(json["advice"].as_str().is_some_and(|found| found.contains(advice)), "{json}");
    }
}

#[test]
fn each_step_has_a_word_of_its_own_and_it_is_the_one_in_json() {
    let steps: BTreeSet<Step> = DenyReason::ALL.iter().map(|reason| reason.step()).collect();
    for step in &steps {
        assert_eq!(serde_json::to_value(step).expect("JSON"), step.word());
    }
    assert_eq!(steps.len(), 13, "no step is without a reason: {steps:?}");
}
