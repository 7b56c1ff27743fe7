// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The journal on a real disk: what is put in comes out, and what is touched is named.

use std::collections::BTreeSet;
use std::path::Path;

use enforcer_core::mask::Masker;
use enforcer_core::model::{AgentName, Denied, DenyReason, SessionId, limits};
use enforcer_core::record::{
    BodyRef, Event, EventBody, ExchangeClosed, ExchangeOutcome, NetworkRefused, Process, Recorded,
    Repeated, Technique, Unstored, frames_in,
};

use super::*;

mod periods;
mod tamper;

const DAY: u64 = 24 * 3600 * 1000;
const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> Config {
        Config::at(self.folder.path().join("journal"))
    }

    fn open(&self) -> Store {
        self.open_at(NOW)
    }

    fn open_at(&self, now: UnixMillis) -> Store {
        Store::open(&self.config(), now).unwrap()
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.config()).unwrap()
    }

    /// The files as a killed daemon leaves them.
    fn copy_as_killed(&self) -> Self {
        let copy = Self::new();
        let from = self.config().dir;
        for file in files::files_below(&from).unwrap() {
            let to = copy.config().dir.join(&file);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from.join(&file), to).unwrap();
        }
        copy
    }

    fn engine(&self, period: &str) -> PathBuf {
        files::period_dir(&self.config().dir, period).join(period::ENGINE_DIR)
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn session(id: u64) -> SessionId {
    SessionId::from_u64(id)
}

fn nothing() -> Masker {
    Masker::new(Vec::new()).unwrap()
}

fn refused(comm: &str) -> EventBody {
    EventBody::NetworkRefused(NetworkRefused {
        process: Process::new(1, 2, Recorded::of(comm, &nothing())),
        hook: "connect".into(),
        refusal: "datagram".into(),
        technique: Technique::Datagram,
        destination: None,
        socket: "inet/raw/255".into(),
        repeated: Repeated::ONCE,
    })
}

fn closed(exchange: enforcer_core::model::ExchangeId, body: Option<BodyRef>) -> EventBody {
    EventBody::ExchangeClosed(ExchangeClosed {
        exchange,
        outcome: ExchangeOutcome::Denied(Denied::because(DenyReason::Internal)),
        cause: None,
        status: Some(503),
        request: None,
        response: body,
        request_unstored: None,
        response_unstored: None,
        masked: 0,
        tool_calls: Vec::new(),
        more_tool_calls: 0,
        bytes_up: 0,
        bytes_down: 0,
        usage: None,
        charged: Vec::new(),
        took_ms: 1,
        detail: None,
    })
}

async fn fill(journal: &Journal, ids: std::ops::Range<u64>, each: u64) {
    for id in ids {
        for number in 0..each {
            journal.append(session(id), NOW, refused(&format!("r{number}"))).await.unwrap();
        }
    }
    journal.sync().await.unwrap();
}

fn events(reader: &Reader, id: u64) -> Vec<Event> {
    reader.events(session(id), 0).map(|event| event.unwrap()).collect()
}

fn verify(reader: &Reader) -> VerifyReport {
    reader.verify(None, &mut |_| {}).unwrap()
}

fn names(report: &VerifyReport, id: u64, sequence: u64) -> bool {
    report.problems.iter().any(|p| p.session == Some(session(id)) && p.sequence == Some(sequence))
}

/// Changes one byte of a file, calls, and puts it back.
fn with_flipped<T>(path: &Path, offset: usize, call: impl FnOnce() -> T) -> T {
    let original = std::fs::read(path).unwrap();
    let mut bytes = original.clone();
    bytes[offset] ^= 0x20;
    std::fs::write(path, &bytes).unwrap();
    let result = call();
    std::fs::write(path, &original).unwrap();
    result
}

#[test]
fn what_is_put_in_comes_out_in_order_live_and_after_the_end() {
    let place = Place::new();
    let store = place.open();
    block_on(fill(&store.journal(), 1..4, 100));
    let live = store.reader().unwrap();
    assert_eq!(events(&live, 2).len(), 100);
    assert_eq!(verify(&live).problems, vec![]);
    drop(live);
    assert!(matches!(Reader::open(&place.config()), Err(Error::Running(_))));
    block_on(store.close()).unwrap();

    let reader = place.reader();
    let read = events(&reader, 2);
    assert!(
        read.iter().zip(0..).all(|(event, n)| event.sequence == n && event.session == session(2))
    );
    assert_eq!(read[7].body, refused("r7"));
    let report = verify(&reader);
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
    assert_eq!((report.sessions, report.records), (3, 300));
    assert_eq!(reader.sessions().unwrap().iter().map(|s| s.network_refused).sum::<u64>(), 300);
}

#[test]
fn chains_and_exchange_numbers_go_on_after_a_restart() {
    let place = Place::new();
    for round in 1..4 {
        let store = place.open();
        let journal = store.journal();
        let id = journal.next_exchange(session(9));
        assert_eq!(id.number, round);
        block_on(async {
            let opened = opened(id, None);
            journal.append_durable(session(9), NOW, opened).await.unwrap();
            store.close().await.unwrap();
        });
    }
    let reader = place.reader();
    assert_eq!(events(&reader, 9).len(), 3);
    assert_eq!(verify(&reader).problems, vec![]);
}

fn opened(exchange: enforcer_core::model::ExchangeId, request: Option<BodyRef>) -> EventBody {
    use enforcer_core::model::*;
    use enforcer_core::record::{ExchangeOpened, RecordedFacts};
    let facts = Facts {
        agent: AgentName::new("a"),
        endpoint: EndpointName::new("e"),
        detected: BTreeSet::new(),
        sought: None,
        calls: Vec::new(),
        hidden: Default::default(),
        operation: Operation::Http(Http {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            has_body: false,
        }),
    };
    EventBody::ExchangeOpened(Box::new(ExchangeOpened {
        exchange,
        process: Process::new(1, 2, "c"),
        destination: "192.0.2.1:443".into(),
        host: "api.example".into(),
        request_line: "GET /".into(),
        facts: RecordedFacts::of(facts, &nothing()),
        facts_cut: false,
        decision: Decision {
            effect: Effect::Allow,
            obligations: Obligations::default(),
            because: vec![RuleId::new("r")],
            observed: vec![],
            would: None,
            mode: Mode::Enforce,
            errors: vec![],
            message: None,
            policy: PolicyVersion::new("v"),
        },
        denied: None,
        cause: None,
        request,
        request_unstored: None,
        masked: 0,
    }))
}

#[test]
fn a_large_event_goes_to_a_body_file_and_reads_like_any_other() {
    let place = Place::new();
    let store = place.open();
    let body = EventBody::JournalRecovered { detail: "x".repeat(100_000) };
    block_on(async {
        store.journal().append(session(1), NOW, body.clone()).await.unwrap();
        store.close().await.unwrap();
    });
    let reader = place.reader();
    assert_eq!(events(&reader, 1)[0].body, body);
    assert_eq!(verify(&reader).bodies, 1);
}

#[test]
fn a_killed_daemon_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    let store = place.open();
    block_on(fill(&store.journal(), 1..3, 200));
    let copy = place.copy_as_killed();
    let offline = copy.reader();
    assert_eq!(events(&offline, 2).len(), 200);
    assert_eq!(verify(&offline).problems, vec![]);

    let again = copy.open();
    block_on(fill(&again.journal(), 2..3, 5));
    block_on(again.close()).unwrap();
    let reader = copy.reader();
    assert_eq!(events(&reader, 2).len(), 205);
    assert!(matches!(events(&reader, 0)[0].body, EventBody::JournalRecovered { .. }));
    assert_eq!(verify(&reader).problems, vec![]);
}

#[test]
fn events_that_nobody_waits_for_are_written_or_counted() {
    let place = Place::new();
    let store = place.open();
    let journal = store.journal();
    let sent = 30_000;
    for number in 0..sent {
        journal.append_or_count(session(1), NOW, refused(&number.to_string()));
    }
    block_on(store.close()).unwrap();
    let reader = place.reader();
    let lost: u64 = events(&reader, 0)
        .iter()
        .map(|event| if let EventBody::EventsLost { count } = event.body { count } else { 0 })
        .sum();
    let written = u64::try_from(events(&reader, 1).len()).unwrap();
    assert!(lost > 0, "the queue holds less than was sent");
    assert_eq!(written + lost, sent);
}

#[test]
fn after_the_end_nothing_is_taken() {
    let place = Place::new();
    let store = place.open();
    let journal = store.journal();
    block_on(async {
        store.close().await.unwrap();
        assert!(matches!(journal.append(session(1), NOW, refused("x")).await, Err(Error::Closed)));
        assert!(matches!(journal.sync().await, Err(Error::Closed)));
    });
}

#[test]
fn equal_bodies_are_one_file_and_the_rest_of_a_too_large_one_is_counted() {
    let place = Place::new();
    let store = place.open();
    let journal = store.journal();
    let write = |bytes: &[u8]| {
        let mut body = journal.body();
        body.write(bytes).unwrap();
        body.finish().unwrap()
    };
    let large = vec![7_u8; 300_000];
    assert_eq!(write(&large), write(&large));
    assert_eq!(write(b""), write(b""));
    let bodies = place.config().dir.join("bodies");
    assert_eq!(files::files_below(&bodies).unwrap().len(), 2);
    let reader = store.reader().unwrap();
    assert_eq!(reader.body(&write(&large)).unwrap(), large);

    let mut body = journal.body();
    let piece = vec![0_u8; 1024 * 1024];
    for _ in 0..65 {
        body.write(&piece).unwrap();
    }
    let reference = body.finish().unwrap();
    assert_eq!((reference.stored_bytes >> 20, reference.seen_bytes >> 20), (64, 65));
    drop(journal.body());
    assert!(files::names(&bodies.join("tmp")).unwrap().is_empty());
}

/// Waits until the journal is healthy, by the writer's own rounds.
fn until_healthy(journal: &Journal) {
    let started = std::time::Instant::now();
    while journal.health() != Health::Healthy {
        assert!(started.elapsed().as_secs() < 30, "still {:?}", journal.health());
        block_on(journal.sync()).unwrap();
    }
}

/// What the journal says was found and done about it.
fn recovered(reader: &Reader) -> Vec<String> {
    let details = events(reader, 0).into_iter().filter_map(|event| match event.body {
        EventBody::JournalRecovered { detail } => Some(detail),
        _ => None,
    });
    details.collect()
}

#[test]
fn a_body_beyond_what_its_agent_may_store_keeps_its_beginning_and_says_so() {
    let place = Place::new();
    let store = place.open();
    let (journal, agent) = (store.journal(), AgentName::new("a"));
    let room = limits::STORED_BYTES_OF_AGENT_MAX / 2;
    assert!(journal.may_store(&agent, room - 64));
    let mut body = journal.body_of(&agent);
    body.write(&[1; 60]).unwrap();
    assert_eq!(body.unstored(), None);
    body.write(&[2; 60_000_000]).unwrap();
    body.write(&[3; 1]).unwrap();
    assert_eq!(body.unstored(), Some(Unstored::AgentBound));
    let stored = body.finish().unwrap();
    assert_eq!((stored.stored_bytes, stored.seen_bytes), (60, 60_000_061));
    let spent = journal.spent();
    assert_eq!(spent.len(), 1, "{spent:?}");
    assert_eq!(spent[0].agent.as_ref(), Some(&agent));
    let mut others = journal.body_of(&AgentName::new("b"));
    others.write(&[1; 60]).unwrap();
    assert_eq!(others.unstored(), None);
    block_on(store.close()).unwrap();
}

#[test]
fn a_body_that_is_cut_at_the_limit_says_so() {
    let place = Place::new();
    let store = place.open();
    let mut body = store.journal().body();
    for _ in 0..=limits::STORED_BODY_BYTES_MAX / 1024 / 1024 {
        body.write(&[0; 1024 * 1024]).unwrap();
    }
    assert_eq!(body.unstored(), Some(Unstored::TooLarge));
    let stored = body.finish().unwrap();
    assert_eq!(stored.stored_bytes, limits::STORED_BODY_BYTES_MAX);
    assert_eq!(stored.seen_bytes, limits::STORED_BODY_BYTES_MAX + 1024 * 1024);
    block_on(store.close()).unwrap();
}

#[test]
fn a_body_that_cannot_be_stored_denies_everything_until_one_can_be() {
    let place = Place::new();
    let store = place.open();
    let journal = store.journal();
    let temporary = place.config().dir.join("bodies").join("tmp");
    std::fs::remove_dir(&temporary).unwrap();
    std::fs::write(&temporary, b"in the way").unwrap();
    let exchange = journal.next_exchange(session(1));
    block_on(async {
        let mut body = journal.body();
        body.write(b"a body").unwrap();
        journal.reserve().await.unwrap().record_with(session(1), NOW, vec![body], move |stored| {
            opened(exchange, stored.into_iter().next().flatten())
        });
        journal.sync().await.unwrap();
        // Records can be written all the time; that does not make it healthy.
        journal.sync().await.unwrap();
        assert!(matches!(journal.health(), Health::Failing(_)));
        let denied = journal.append(session(1), NOW, refused("x")).await;
        assert!(matches!(denied, Err(Error::Failing(_))), "{denied:?}");
    });
    std::fs::remove_file(&temporary).unwrap();
    until_healthy(&journal);
    block_on(async {
        journal.append(session(1), NOW, refused("x")).await.unwrap();
        store.close().await.unwrap();
    });
    let reader = place.reader();
    assert_eq!(events(&reader, 1)[0].body, opened(exchange, None));
    assert_eq!(events(&reader, 1).len(), 2);
    let detail = recovered(&reader).concat();
    assert!(detail.contains("1 bodies were not stored"), "{detail}");
    assert_eq!(verify(&reader).problems, vec![]);
    assert!(files::files_below(&place.config().dir.join("bodies")).unwrap().is_empty());
}

#[test]
fn a_body_that_is_too_large_for_memory_and_cannot_be_spilled_denies_as_well() {
    let place = Place::new();
    let store = place.open();
    let journal = store.journal();
    let temporary = place.config().dir.join("bodies").join("tmp");
    std::fs::remove_dir(&temporary).unwrap();
    std::fs::write(&temporary, b"in the way").unwrap();
    let piece = vec![0_u8; 1024 * 1024];
    assert!(journal.body().write(&piece).is_err());
    assert!(matches!(journal.health(), Health::Failing(_)));
    std::fs::remove_file(&temporary).unwrap();
    until_healthy(&journal);
    block_on(store.close()).unwrap();
}
