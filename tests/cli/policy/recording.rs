// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A journal that the store wrote, with the exchanges that a test wants.

use std::path::Path;

use enforcer_core::mask::Masker;
use enforcer_core::model::{
    Decision, Denied, DenyReason, ExchangeId, Facts, Mode, SessionId, UnixMillis,
};
use enforcer_core::record::{
    EventBody, ExchangeOpened, Process, Recorded, RecordedFacts, Repeated,
};
use enforcer_user::store::{Config, Store};

/// When everything in the journal happened: now, so that `--since` finds it.
pub(crate) fn now() -> UnixMillis {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = now.expect("after 1970").as_millis();
    UnixMillis(u64::try_from(millis).expect("before the end of time"))
}

pub(crate) const SESSION: SessionId = SessionId::from_u64(0x1234);

/// Records what was judged of each of these facts below a folder for `--state`, in one session.
pub(crate) fn record(state: &Path, judged: &[(Facts, Decision)]) -> Vec<ExchangeId> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let config = Config::at(state.join("journal"));
        let store = Store::open(&config, now()).expect("a journal");
        let journal = store.journal();
        let mut ids = Vec::new();
        for (facts, decision) in judged {
            let exchange = journal.next_exchange(SESSION);
            let denied = decision.is_refusal().then(|| Denied {
                rules: decision.because.clone(),
                ..Denied::because(DenyReason::Policy)
            });
            let opened = ExchangeOpened {
                exchange,
                process: Process::new(77, 1000, "agent"),
                destination: "192.0.2.1:443".into(),
                host: "api.openai.com".into(),
                request_line: request_line(facts).into(),
                facts: RecordedFacts::of(facts.clone(), &nothing()),
                facts_cut: false,
                decision: decision.clone(),
                denied,
                cause: None,
                request: None,
                request_unstored: None,
                masked: 0,
            };
            let event = EventBody::ExchangeOpened(Box::new(opened));
            journal.append(SESSION, now(), event).await.expect("taken");
            ids.push(exchange);
        }
        store.close().await.expect("sealed");
        ids
    })
}

fn request_line(facts: &Facts) -> &'static str {
    match facts.operation.action() {
        "embed" => "POST /v1/embeddings",
        _ => "POST /v1/chat/completions",
    }
}

/// A masker that finds nothing.
fn nothing() -> Masker {
    Masker::new(Vec::new()).expect("no detector")
}

/// Records that a host was reached which no endpoint names, as in observe mode.
pub(crate) fn record_unnamed(state: &Path, name: &str) {
    record_event(
        state,
        EventBody::ConnectionRefused {
            process: Process::new(77, 1000, "agent"),
            destination: "192.0.2.7:443".into(),
            server_name: Some(Recorded::of(name, &nothing())),
            denied: Denied::because(DenyReason::NotAnEndpoint),
            detail: None,
            mode: Mode::Observe,
        },
    );
}

/// Records that a name was asked for three times which no endpoint uses.
pub(crate) fn record_name(state: &Path, name: &str) {
    record_event(
        state,
        EventBody::ResolveRefused {
            process: None,
            name: Recorded::of(name, &nothing()),
            repeated: Repeated { count: 3, ..Repeated::ONCE },
        },
    );
}

fn record_event(state: &Path, event: EventBody) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let config = Config::at(state.join("journal"));
        let store = Store::open(&config, now()).expect("a journal");
        store.journal().append(SESSION, now(), event).await.expect("taken");
        store.close().await.expect("sealed");
    });
}

/// Facts as `enforcer policy why --facts` reads them.
pub(crate) fn facts(json: serde_json::Value) -> Facts {
    serde_json::from_value(json).expect("facts")
}

/// A chat with this model.
pub(crate) fn chat(model: &str, input_tokens: i64) -> Facts {
    facts(serde_json::json!({
        "agent": "support", "endpoint": "openai", "detected": [],
        "operation": {
            "action": "chat", "model": model, "stream": false, "message_count": 1,
            "tools": [], "parts": ["text"], "input_tokens": input_tokens,
        },
    }))
}
