// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer session` and `enforcer replay` as a person meets them, on a journal that the store wrote.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first thing that is not as expected"
)]

mod why;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use enforcer_core::mask::Masker;
use enforcer_core::model::{
    AgentName, ApprovalName, Chat, Decision, Denied, DenyReason, Effect, EndpointName, ExchangeId,
    Facts, Mode, Obligations, Operation, PolicyVersion, RecordDepth, RuleId, SessionId, UnixMillis,
};
use enforcer_core::record::{
    BodyRef, EventBody, ExchangeClosed, ExchangeOpened, ExchangeOutcome, NetworkRefused, Process,
    RecordedFacts, Repeated, SessionOpened, Technique, Unstored,
};
use enforcer_user::cli::paint::Paint;
use enforcer_user::cli::source::Source;
use enforcer_user::cli::{Exit, replay, session};
use enforcer_user::store::{Config, Journal, Store};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const PLAIN: Paint = Paint { colors: false };
const SESSION: SessionId = SessionId::from_u64(0x1234);

#[derive(Parser)]
enum Line {
    Session(session::Args),
    Replay(replay::Args),
}

/// A journal with one session: an allowed and a denied chat, and what the kernel refused.
struct Recorded {
    folder: tempfile::TempDir,
}

impl Recorded {
    fn new() -> Self {
        let recorded = Self { folder: tempfile::tempdir().expect("a folder") };
        block_on(async {
            let store = Store::open(&Config::at(recorded.journal()), NOW).expect("a journal");
            record(&store.journal()).await;
            store.close().await.expect("sealed");
        });
        recorded
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn ask(&self, words: &[&str]) -> (Exit, String) {
        let line = Line::try_parse_from([&["enforcer"], words].concat());
        let source = Source::offline(&self.journal()).expect("a stopped journal");
        let answer = match line.unwrap_or_else(|error| panic!("{words:?}: {error}")) {
            Line::Session(args) => block_on(session::answer(&args, &source, None, NOW, PLAIN)),
            Line::Replay(args) => {
                let folder = PathBuf::from(
                    words.iter().skip_while(|w| **w != "--policies").nth(1).expect("DIR"),
                );
                let policy = enforcer_user::daemon::load_policy(&folder).expect("a bundle");
                block_on(replay::answer(&args, &policy, &source, NOW, false))
            }
        };
        answer.unwrap_or_else(|failure| panic!("{words:?}: {failure:?}"))
    }

    /// The bundle with `models` allowed to chat.
    fn bundle(&self, models: &str) -> String {
        let folder = self.folder.path().join("bundle");
        fs::create_dir_all(&folder).expect("a folder");
        let inventory = "version = 1\n[agents.support]\n\
            [endpoints.openai]\nhosts = [\"api.openai.com\"]\nprotocol = \"openai\"\n";
        fs::write(folder.join("policy.toml"), inventory).expect("written");
        let rules = format!(
            "@id(\"chat\")\npermit (principal == Agent::\"support\", action == Action::\"chat\", \
             resource == Endpoint::\"openai\")\nwhen {{ [{models}].contains(context.model) }};\n"
        );
        fs::write(folder.join("rules.cedar"), rules).expect("written");
        folder.display().to_string()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

fn process() -> Process {
    Process::new(77, 1000, "py\x1b[31mthon")
}

fn body(journal: &Journal, text: &str) -> BodyRef {
    let mut body = journal.body();
    body.write(text.as_bytes()).expect("written");
    body.finish().expect("stored")
}

fn opened(exchange: ExchangeId, model: &str, effect: Effect, request: BodyRef) -> EventBody {
    let rules = if effect == Effect::Allow { vec![RuleId::new("chat")] } else { vec![] };
    let denied = (effect == Effect::Deny).then(|| Denied {
        message: Some("ask the data team".to_owned()),
        ..Denied::because(DenyReason::Policy)
    });
    let facts = Facts {
        agent: AgentName::new("support"),
        endpoint: EndpointName::new("openai"),
        detected: BTreeSet::new(),
        sought: None,
        calls: Vec::new(),
        hidden: Default::default(),
        operation: Operation::Chat(Chat {
            model: model.to_owned(),
            stream: false,
            message_count: 1,
            tools: BTreeSet::new(),
            parts: BTreeSet::new(),
            max_tokens: None,
            n: 1,
            store: false,
            api: "chat_completions".to_owned(),
            tool_choice: String::new(),
            system: false,
            previous: false,
            files: BTreeSet::new(),
            unknown: BTreeSet::new(),
            input_tokens: 5,
        }),
    };
    EventBody::ExchangeOpened(Box::new(ExchangeOpened {
        exchange,
        process: process(),
        destination: "192.0.2.1:443".into(),
        host: "api.openai.com".into(),
        request_line: "POST /v1/chat/completions".into(),
        facts: RecordedFacts::of(facts, &Masker::new(vec![]).expect("no detector")),
        facts_cut: false,
        decision: Decision {
            effect,
            obligations: Obligations::default(),
            because: rules,
            observed: vec![],
            would: None,
            mode: Mode::Enforce,
            errors: vec![],
            message: None,
            policy: PolicyVersion::new("v1"),
        },
        denied,
        cause: None,
        request: Some(request),
        request_unstored: None,
        masked: u64::from(effect == Effect::Allow),
    }))
}

fn closed(exchange: ExchangeId) -> ExchangeClosed {
    ExchangeClosed {
        exchange,
        outcome: ExchangeOutcome::Completed,
        cause: None,
        status: Some(200),
        request: None,
        response: None,
        request_unstored: None,
        response_unstored: None,
        masked: 0,
        tool_calls: Vec::new(),
        more_tool_calls: 0,
        bytes_up: 0,
        bytes_down: 0,
        usage: None,
        charged: Vec::new(),
        took_ms: 12,
        detail: None,
    }
}

async fn record(journal: &Journal) {
    let append = async |body| journal.append(SESSION, NOW, body).await.expect("taken");
    append(EventBody::SessionOpened(SessionOpened {
        launch: None,
        agent: AgentName::new("support"),
        process: process(),
        command: vec!["python".into(), "agent.py".into()],
        policy: PolicyVersion::new("v1"),
        selected: None,
    }))
    .await;
    let first = journal.next_exchange(SESSION);
    let asked = body(journal, r#"{"messages":[{"role":"user","content":"write to [email]"}]}"#);
    append(opened(first, "gpt-4.1", Effect::Allow, asked)).await;
    let said = r#"{"choices":[{"message":{"role":"assistant","content":"done \u001b[2J"}}]}"#;
    let response = Some(body(journal, said));
    append(EventBody::ExchangeClosed(ExchangeClosed { response, ..closed(first) })).await;
    let second = journal.next_exchange(SESSION);
    let asked = body(journal, r#"{"messages":[{"role":"user","content":"use the large one"}]}"#);
    append(opened(second, "gpt-9", Effect::Deny, asked)).await;
    append(EventBody::NetworkRefused(NetworkRefused {
        process: process(),
        hook: "sock_create".into(),
        refusal: "socket_kind".into(),
        technique: Technique::RawSocket,
        destination: None,
        socket: "inet/raw/255".into(),
        repeated: Repeated::ONCE,
    }))
    .await;
    append(EventBody::SessionClosed {}).await;
}

#[test]
fn the_list_counts_what_happened() {
    let (exit, text) = Recorded::new().ask(&["session", "list"]);
    assert_eq!(exit, Exit::Fine);
    let line = text.lines().find(|line| line.starts_with("0000000000001234")).expect("the session");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1], "support");
    assert_eq!(
        words[5..11],
        ["2", "1", "0", "1", "1", "1"],
        "exchanges, denied, would deny, masked, refused, bypass"
    );
    assert!(line.ends_with("python agent.py"));
}

#[test]
fn why_explains_a_recorded_exchange_by_the_evaluator_and_in_the_words_of_the_denial() {
    let recorded = Recorded::new();
    let bundle = recorded.bundle("\"gpt-4.1\"");
    let denied = ["session", "why", "0000000000001234-2", "--policies", &bundle];
    let (exit, text) = recorded.ask(&denied);
    assert_eq!(exit, Exit::Difference);
    for part in [
        "POST /v1/chat/completions to api.openai.com",
        "outcome: denied at the step `rules`: the policy of this host does not permit this request [policy]",
        "fact: denied because no rule permits it [policy]",
        "fact: message: ask the data team",
        "the agent received: Denied by Enforcer, not by the provider: the policy of this host does not permit this request (no rule permits it): ask the data team [exchange 0000000000001234-2]",
        "rules: deny, because no rule permits it (policy v1)",
        "explains it, not the one that decided; it decides the same",
        "deny: agent `support`, action `chat`, endpoint `openai`",
        "facts: api = \"chat_completions\", model = \"gpt-9\"",
        "nearly: `[\"gpt-4.1\"].contains(context.model)` does not hold",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Another bundle would allow it, and it was denied all the same.
    let wider = recorded.bundle("\"gpt-4.1\", \"gpt-9\"");
    let (exit, text) = recorded.ask(&[
        "session",
        "why",
        "0000000000001234-2",
        "--policies",
        &wider,
        "--output",
        "json",
    ]);
    assert_eq!(exit, Exit::Difference);
    let why: serde_json::Value = serde_json::from_str(&text).expect("json");
    assert_eq!((&why["outcome"], &why["step"]), (&"denied".into(), &"rules".into()));
    assert_eq!(why["recorded"]["effect"], "deny");
    assert_eq!(why["same_version"], false);
    assert_eq!(why["explanation"]["decision"]["effect"], "allow");
    assert_eq!(why["explanation"]["rules"][0]["outcome"], "matched");
}

#[test]
fn why_says_how_what_would_happen_now_differs_from_what_happened() {
    let recorded = Recorded::new();
    let bundle = recorded.bundle("\"gpt-4.1\"");
    let (inventory, rules) = (format!("{bundle}/policy.toml"), format!("{bundle}/rules.cedar"));
    let text = fs::read_to_string(&inventory).expect("an inventory");
    let expect = |part: &str| {
        let words = ["session", "why", "0000000000001234-2", "--policies", &bundle];
        let (_, text) = recorded.ask(&words);
        assert!(text.contains(part), "{part}: {text}");
    };
    let observing = text.replace("version = 1\n", "version = 1\nmode = \"observe\"\n");
    fs::write(&inventory, observing).expect("written");
    expect("it denies it too, but only observes");
    fs::write(&inventory, text.replace("support", "other")).expect("written");
    let permits = fs::read_to_string(&rules).expect("rules");
    fs::write(&rules, permits.replace("support", "other")).expect("written");
    expect("it denies it too, for another reason");
}

#[test]
fn why_needs_no_bundle_and_notes_one_of_the_settings_that_cannot_be_read() {
    let recorded = Recorded::new();
    let (exit, text) = recorded.ask(&["session", "why", "0000000000001234-1"]);
    assert_eq!(exit, Exit::Fine);
    assert!(text.contains("outcome: answered with status 200\n"), "{text}");
    let source = Source::offline(&recorded.journal()).expect("a stopped journal");
    let exchange = ExchangeId { session: SESSION, number: 2 };
    let ask = |by| block_on(session::why(&source, exchange, by, PLAIN, false));
    let (exit, text) = ask(session::By::Settings(Path::new("/none"))).expect("an answer");
    assert_eq!(exit, Exit::Difference);
    assert!(text.contains("note: the rules are not explained: "), "{text}");
    assert!(ask(session::By::Given(Path::new("/none"))).is_err(), "that bundle was asked for");
}

#[test]
fn why_of_an_exchange_that_is_not_recorded_is_a_failure_with_a_hint() {
    let recorded = Recorded::new();
    let line = Line::try_parse_from(["enforcer", "session", "why", "0000000000001234-9"]);
    let Ok(Line::Session(args)) = line else { panic!("a session command") };
    let source = Source::offline(&recorded.journal()).expect("a stopped journal");
    let failure = block_on(session::answer(&args, &source, None, NOW, PLAIN)).expect_err("unknown");
    assert!(format!("{failure:?}").contains("no exchange `0000000000001234-9` is recorded"));
}

#[test]
fn the_play_shows_the_conversation_and_the_refusals_in_order() {
    let (exit, text) = Recorded::new().ask(&["session", "play", "0000000000001234"]);
    assert_eq!(exit, Exit::Fine);
    let expected = [
        "session began",
        "allowed by chat",
        "user  write to [email]",
        "assistant  done \\u{1b}[2J",
        "DENIED because no rule permits it [policy]: ask the data team",
        "use the large one",
        "BYPASS refused: raw socket by ",
        "session ended",
    ];
    let mut rest = text.as_str();
    for part in expected {
        let (_, after) =
            rest.split_once(part).unwrap_or_else(|| panic!("`{part}` is not in\n{text}"));
        rest = after;
    }
    assert!(!text.contains('\x1b'), "a terminal obeys what was recorded");
}

#[test]
fn a_body_that_is_not_whole_is_never_shown_as_if_it_were() {
    let recorded = Recorded::new();
    block_on(async {
        let store = Store::open(&Config::at(recorded.journal()), NOW).expect("a journal");
        let journal = store.journal();
        let append = async |body| journal.append(SESSION, NOW, body).await.expect("taken");
        let exchange = journal.next_exchange(SESSION);
        let asked = body(&journal, "{}");
        let EventBody::ExchangeOpened(mut judged) = opened(exchange, "gpt-9", Effect::Deny, asked)
        else {
            panic!("opened")
        };
        (judged.request, judged.request_unstored) = (None, Some(Unstored::Denied));
        append(EventBody::ExchangeOpened(judged)).await;
        let said = r#"{"choices":[{"message":{"role":"assistant","content":"the beginning"}}]}"#;
        append(EventBody::ExchangeClosed(ExchangeClosed {
            response: Some(body(&journal, said)),
            response_unstored: Some(Unstored::AgentBound),
            ..closed(exchange)
        }))
        .await;
        store.close().await.expect("sealed");
    });
    let request = "the request is not stored: it was denied";
    let answer = "the answer is stored only in part: the agent has stored as much";
    let (_, text) = recorded.ask(&["session", "show", "0000000000001234"]);
    assert!(text.contains(request) && text.contains(answer), "{text}");
    let (_, text) = recorded.ask(&["session", "play", "0000000000001234"]);
    let (_, rest) = text.split_once("the beginning").expect("what is stored");
    assert!(rest.contains("not whole  (the rest is not stored: the agent has stored"), "{text}");
    let bundle = recorded.bundle("\"gpt-4.1\"");
    let why = ["session", "why", "0000000000001234-3", "--policies", &bundle];
    assert!(recorded.ask(&why).1.contains(request));
    let (_, text) = recorded.ask(&["session", "list", "--output", "json"]);
    let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(list[0]["unstored"], 2);
}

#[test]
fn show_and_play_take_an_exchange_and_show_who_asked_and_all_of_it_on_demand() {
    let recorded = Recorded::new();
    let (_, text) = recorded.ask(&["session", "show", "0000000000001234"]);
    let user = "session began as agent support, user ";
    assert!(text.contains(user) && text.contains("1000"), "{text}");
    let (_, text) = recorded.ask(&["session", "show", "0000000000001234-1"]);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains(user), "whose it is: {text}");
    assert!(
        text.contains("#1 answered with status 200 in 12 ms") && !text.contains("#2"),
        "{text}"
    );
    let (_, text) = recorded.ask(&["session", "play", "0000000000001234-2"]);
    assert!(text.contains("use the large one") && !text.contains("write to"), "{text}");
    let (_, text) = recorded.ask(&["session", "play", "0000000000001234-2", "--full"]);
    assert!(text.contains("\"content\": \"use the large one\""), "{text}");
    let source = Source::offline(&recorded.journal()).expect("a stopped journal");
    for id in ["0000000000001234-9", "0000000000000099-1", "host"] {
        let line = Line::try_parse_from(["enforcer", "session", "show", id]);
        let Ok(Line::Session(args)) = line else { panic!("parsed") };
        let answer = block_on(session::answer(&args, &source, None, NOW, PLAIN));
        assert!(format!("{answer:?}").contains("is recorded"), "{id}: {answer:?}");
    }
}

#[test]
fn the_list_is_chosen_by_time_agent_user_denials_and_number() {
    let recorded = Recorded::new();
    block_on(async {
        let store = Store::open(&Config::at(recorded.journal()), NOW).expect("a journal");
        let journal = store.journal();
        for (number, agent, uid) in [(0x2000, "coder", 0), (0x3000, "coder", 1001)] {
            let opened = SessionOpened {
                launch: None,
                agent: AgentName::new(agent),
                process: Process::new(78, uid, "sh"),
                command: vec!["sh".into(), "-c".into(), "first\nsecond".into()],
                policy: PolicyVersion::new("v1"),
                selected: None,
            };
            let at = UnixMillis(NOW.0 + 3_600_000);
            let opened = EventBody::SessionOpened(opened);
            journal.append(SessionId::from_u64(number), at, opened).await.expect("taken");
        }
        store.close().await.expect("sealed");
    });
    let ids = |more: &[&str]| {
        let words = [&["session", "list", "--output", "json"], more].concat();
        let list: serde_json::Value = serde_json::from_str(&recorded.ask(&words).1).expect("JSON");
        let ids = list.as_array().expect("a list").iter();
        ids.map(|it| it["id"].as_str().expect("an id").trim_start_matches('0').to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]), ["1234", "2000", "3000"], "the newest last");
    assert_eq!(ids(&["--agent", "coder"]), ["2000", "3000"]);
    assert_eq!(ids(&["--user", "1001"]), ["3000"]);
    assert_eq!(ids(&["--user", "root"]), ["2000"]);
    assert_eq!(ids(&["--denied"]), ["1234"]);
    assert_eq!(ids(&["--limit", "2"]), ["2000", "3000"]);
    assert_eq!(ids(&["--since", "1h"]), ["1234", "2000", "3000"]);
    assert_eq!(ids(&["--since", "2026-09-21T14:40:00Z"]), ["2000", "3000"]);
    assert_eq!(ids(&["--agent", "support", "--limit", "0"]), [""; 0]);
    let (_, text) = recorded.ask(&["session", "list", "--agent", "coder"]);
    assert_eq!(text.lines().count(), 3, "one line for each session: {text}");
    assert!(text.contains("sh -c first\\u{a}second (running)"), "{text}");
}

#[test]
fn what_is_only_observed_is_counted_and_shown_as_what_would_be_done() {
    let recorded = Recorded::new();
    let session = SessionId::from_u64(0x5000);
    block_on(async {
        let store = Store::open(&Config::at(recorded.journal()), NOW).expect("a journal");
        let journal = store.journal();
        let append = async |body| journal.append(session, NOW, body).await.expect("taken");
        for (effect, approvals) in [(Effect::Deny, &[][..]), (Effect::Allow, &["lead", "legal"])] {
            let exchange = journal.next_exchange(session);
            let opened = opened(exchange, "gpt-9", effect, body(&journal, "{}"));
            let EventBody::ExchangeOpened(mut judged) = opened else { panic!("opened") };
            judged.denied = None;
            judged.masked = 0;
            judged.decision.mode = Mode::Observe;
            let approvals = approvals.iter().map(|name| ApprovalName::new(*name));
            judged.decision.obligations.approvals = approvals.collect();
            append(EventBody::ExchangeOpened(judged)).await;
        }
        append(EventBody::ConnectionRefused {
            process: process(),
            destination: "192.0.2.1:443".into(),
            server_name: Some("pypi.org".into()),
            denied: Denied::because(DenyReason::NotAnEndpoint),
            detail: None,
            mode: Mode::Observe,
        })
        .await;
        store.close().await.expect("sealed");
    });
    let (_, text) = recorded.ask(&["session", "list", "--output", "json"]);
    let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let observed = &list[1];
    assert_eq!((&observed["would_deny"], &observed["denied"]), (&2.into(), &0.into()), "{text}");
    assert_eq!(observed["connections_refused"], 0);
    let (_, text) = recorded.ask(&["session", "show", "0000000000005000"]);
    for part in [
        "sent on, observed only: would be denied because no rule permits it",
        "allowed by chat, observed only: would wait for lead, legal (chat)",
        "would be refused: connection to 192.0.2.1:443 (pypi.org)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (exit, text) = recorded.ask(&["session", "why", "0000000000005000-1", "--output", "json"]);
    let why: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((exit, &why["would_deny"]), (Exit::Fine, &true.into()));
}

#[test]
fn the_play_says_why_there_is_no_text_where_the_rules_ask_for_facts_only() {
    let recorded = Recorded::new();
    block_on(async {
        let store = Store::open(&Config::at(recorded.journal()), NOW).expect("a journal");
        let journal = store.journal();
        let exchange = journal.next_exchange(SESSION);
        let asked = body(&journal, "{}");
        let EventBody::ExchangeOpened(mut judged) = opened(exchange, "gpt-9", Effect::Deny, asked)
        else {
            panic!("opened")
        };
        judged.request = None;
        judged.decision.obligations = Obligations::keeping(RecordDepth::Facts);
        let judged = EventBody::ExchangeOpened(judged);
        journal.append(SESSION, NOW, judged).await.expect("taken");
        store.close().await.expect("sealed");
    });
    let (_, text) = recorded.ask(&["session", "play", "0000000000001234"]);
    let (_, rest) = text.split_once("gpt-9").expect("the exchange");
    assert!(rest.contains("texts are not stored: the rules ask for facts only"), "{text}");
    assert_eq!(text.matches("facts only").count(), 1, "{text}");
}

#[test]
fn programs_get_the_same_as_json() {
    let recorded = Recorded::new();
    let (_, text) = recorded.ask(&["session", "list", "--output", "json"]);
    let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(list[0]["id"], "0000000000001234");
    let (_, text) = recorded.ask(&["session", "show", "0000000000001234", "--output", "json"]);
    let events: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(events.as_array().map(Vec::len), Some(6));
    assert_eq!(events[3]["event"], "exchange_opened");
    let (_, text) = recorded.ask(&["session", "play", "0000000000001234", "--output", "json"]);
    let play: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(play[1]["asked"][0]["what"], "write to [email]");
}

#[test]
fn verify_is_clean_and_names_the_record_after_one_byte_was_changed() {
    let recorded = Recorded::new();
    let (exit, text) = recorded.ask(&["session", "verify"]);
    assert_eq!(exit, Exit::Fine, "{text}");
    assert!(text.contains("1 session, 6 records, 3 bodies: everything is as it was written"));

    let period = fs::read_dir(recorded.journal().join("periods")).expect("periods").next();
    let engine = period.expect("one").expect("entry").path().join("sled/db");
    let original = fs::read(&engine).expect("the journal");
    let at = original.windows(9).rposition(|w| w == b"sock_crea").expect("the refusal");
    let mut changed = original.clone();
    changed[at] = b'S';
    fs::write(&engine, changed).expect("written");
    let (exit, text) = recorded.ask(&["session", "verify"]);
    assert_eq!(exit, Exit::Difference);
    assert!(text.contains("session 0000000000001234 record 4 was altered"), "{text}");
    fs::write(&engine, original).expect("written");

    let mut bodies = vec![];
    for folder in fs::read_dir(recorded.journal().join("bodies")).expect("bodies") {
        for file in fs::read_dir(folder.expect("folder").path()).expect("folder") {
            bodies.push(file.expect("file").path());
        }
    }
    assert_eq!(bodies.len(), 3);
    let mut bytes = fs::read(&bodies[0]).expect("a body");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bodies[0], bytes).expect("written");
    let (exit, text) = recorded.ask(&["session", "verify", "0000000000001234"]);
    assert_eq!(exit, Exit::Difference);
    assert!(text.contains("(exchange 0000000000001234-"), "{text}");
}

#[test]
fn a_replay_reports_exactly_the_exchanges_that_change() {
    let recorded = Recorded::new();
    let check = |models: &str, expect: Exit, parts: &[&str]| {
        let bundle = recorded.bundle(models);
        let (exit, text) = recorded.ask(&["replay", "--policies", &bundle]);
        assert_eq!(exit, expect, "{text}");
        for part in parts {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
    };
    check("\"gpt-4.1\"", Exit::Fine, &["2 exchanges judged", "no difference"]);
    check("\"gpt-5\"", Exit::Difference, &["0000000000001234-1", "allow → deny", "1 change"]);
    check("\"gpt-4.1\", \"gpt-9\"", Exit::Difference, &["0000000000001234-2", "deny → ALLOW"]);
    let bundle = recorded.bundle("\"gpt-5\"");
    let (exit, text) = recorded.ask(&["replay", "--policies", &bundle, "--since", "1s"]);
    assert_eq!(exit, Exit::Difference, "{text}");
}

#[test]
fn a_session_that_is_not_recorded_is_a_usage_error() {
    let recorded = Recorded::new();
    let source = Source::offline(&recorded.journal()).expect("a stopped journal");
    let line = Line::try_parse_from(["enforcer", "session", "play", "0000000000000099"]);
    let Ok(Line::Session(args)) = line else { panic!("parsed") };
    assert!(block_on(session::answer(&args, &source, None, NOW, PLAIN)).is_err());
    assert!(Line::try_parse_from(["enforcer", "session", "play", "99"]).is_err());
}
