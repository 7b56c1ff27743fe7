// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The journal on a real disk: what is put in comes out, and what is touched is named.

use std::collections::BTreeSet;
use std::path::Path;

use enforcer_core::model::{Denied, DenyReason, SessionId};
use enforcer_core::record::{
    BodyRef, Event, EventBody, ExchangeClosed, ExchangeOutcome, NetworkRefused, Process, frames_in,
};

use super::*;

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
        Config { dir: self.folder.path().join("journal") }
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

fn refused(comm: &str) -> EventBody {
    EventBody::NetworkRefused(NetworkRefused {
        process: Process { pid: 1, uid: 2, comm: comm.to_owned() },
        hook: "connect".to_owned(),
        refusal: "datagram".to_owned(),
        destination: None,
        socket: "inet/raw/255".to_owned(),
    })
}

fn closed(exchange: enforcer_core::model::ExchangeId, body: Option<BodyRef>) -> EventBody {
    EventBody::ExchangeClosed(ExchangeClosed {
        exchange,
        outcome: ExchangeOutcome::Denied(Denied::because(DenyReason::Internal)),
        status: Some(503),
        request: None,
        response: body,
        masked: 0,
        bytes_up: 0,
        bytes_down: 0,
        usage: None,
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
    use enforcer_core::record::ExchangeOpened;
    EventBody::ExchangeOpened(Box::new(ExchangeOpened {
        exchange,
        process: Process { pid: 1, uid: 2, comm: "c".to_owned() },
        destination: "192.0.2.1:443".to_owned(),
        host: "api.example".to_owned(),
        request_line: "GET /".to_owned(),
        facts: Facts {
            agent: AgentName::new("a"),
            endpoint: EndpointName::new("e"),
            detected: BTreeSet::new(),
            operation: Operation::Http(Http {
                method: "GET".to_owned(),
                path: "/".to_owned(),
                query: String::new(),
                has_body: false,
            }),
        },
        decision: Decision {
            effect: Effect::Allow,
            obligations: Obligations::default(),
            because: vec![RuleId::new("r")],
            errors: vec![],
            message: None,
            policy: PolicyVersion::new("v"),
        },
        denied: None,
        request,
        masked: 0,
    }))
}

#[test]
fn a_large_event_goes_to_a_body_file_and_reads_like_any_other() {
    let place = Place::new();
    let store = place.open();
    let body = refused(&"x".repeat(100_000));
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
fn each_byte_of_a_closed_journal_is_proven() {
    let place = Place::new();
    let store = place.open();
    block_on(async {
        fill(&store.journal(), 1..4, 40).await;
        store.close().await.unwrap();
    });
    let engine = place.engine(&resume::day_of(NOW));
    for file in files::files_below(&engine).unwrap() {
        let path = engine.join(&file);
        let bytes = std::fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        let copies: Vec<_> = frames_in(&bytes).collect();
        // Places over the whole file, more of them where there are records, and each byte of one record.
        let mut places: BTreeSet<usize> = (0..bytes.len()).step_by(bytes.len() / 12 + 1).collect();
        places.extend((0..used).step_by(used / 60 + 1));
        places.extend(copies.iter().take(1).flat_map(|(at, len, _)| (*at..at + len).step_by(5)));
        for offset in places {
            let report = with_flipped(&path, offset, || verify(&place.reader()));
            assert!(!report.is_clean(), "byte {offset} of {}", file.display());
            for (at, len, frame) in &copies {
                if (*at..at + len).contains(&offset) {
                    let is_named = names(&report, frame.session.as_u64(), frame.sequence);
                    assert!(is_named, "byte {} of {frame:?}: {report:?}", offset - at);
                }
            }
        }
    }
    assert_eq!(verify(&place.reader()).problems, vec![]);
}

#[test]
fn each_byte_of_a_body_is_proven_and_the_exchange_is_named() {
    let place = Place::new();
    let store = place.open();
    let journal = store.journal();
    let exchange = journal.next_exchange(session(1));
    block_on(async {
        let mut body = journal.body_async();
        body.write(b"a body, and a body, and a body").await.unwrap();
        let body = body.finish().await.unwrap();
        journal.append(session(1), NOW, opened(exchange, Some(body))).await.unwrap();
        journal.append(session(1), NOW, closed(exchange, None)).await.unwrap();
        store.close().await.unwrap();
    });
    let reader = place.reader();
    let bodies = place.config().dir.join("bodies");
    let path = bodies.join(&files::files_below(&bodies).unwrap()[0]);
    for offset in 0..std::fs::read(&path).unwrap().len() {
        let report = with_flipped(&path, offset, || verify(&reader));
        assert_eq!(report.problems.len(), 1, "byte {offset}");
        assert_eq!(report.problems[0].exchange, Some(exchange));
        assert_eq!(report.problems[0].sequence, Some(0));
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(verify(&reader).problems[0].exchange, Some(exchange));
}

#[test]
fn a_byte_changed_under_a_running_daemon_is_seen() {
    let place = Place::new();
    let store = place.open();
    block_on(fill(&store.journal(), 1..2, 20));
    let path = place.engine(&resume::day_of(NOW)).join("db");
    let bytes = std::fs::read(&path).unwrap();
    let (at, len, frame) = frames_in(&bytes).last().unwrap();
    let report = with_flipped(&path, at + len - 3, || verify(&store.reader().unwrap()));
    assert!(names(&report, 1, frame.sequence), "{report:?}");
}

#[test]
fn a_journal_altered_while_stopped_is_moved_aside_and_stays_reported() {
    let place = Place::new();
    let store = place.open();
    block_on(async {
        fill(&store.journal(), 1..2, 20).await;
        store.close().await.unwrap();
    });
    let path = place.engine(&resume::day_of(NOW)).join("db");
    let mut bytes = std::fs::read(&path).unwrap();
    let (at, len, frame) = frames_in(&bytes).last().unwrap();
    bytes[at + len - 3] ^= 1;
    std::fs::write(&path, &bytes).unwrap();

    let store = place.open();
    block_on(async {
        fill(&store.journal(), 1..2, 3).await;
        assert!(names(&verify(&store.reader().unwrap()), 1, frame.sequence));
        store.close().await.unwrap();
    });
    let reader = place.reader();
    assert!(matches!(events(&reader, 0)[0].body, EventBody::JournalRecovered { .. }));
    assert!(names(&verify(&reader), 1, frame.sequence));
    assert_eq!(events(&reader, 1).last().unwrap().sequence, 22);
}

#[test]
fn an_engine_that_does_not_open_is_moved_aside_and_its_records_stay_readable() {
    let place = Place::new();
    let store = place.open();
    block_on(fill(&store.journal(), 1..2, 50));
    let copy = place.copy_as_killed();
    let conf = copy.engine(&resume::day_of(NOW)).join("conf");
    std::fs::write(conf, b"segment_size: 1\nuse_compression: what\nxxxx").unwrap();

    let again = copy.open();
    block_on(fill(&again.journal(), 1..2, 1));
    block_on(again.close()).unwrap();
    let periods = files::periods(&copy.config().dir).unwrap();
    assert_eq!(periods.len(), 2);
    assert!(periods[0].ends_with(".corrupt-1"));
    let reader = copy.reader();
    assert_eq!(events(&reader, 1).len(), 51);
    assert_eq!(verify(&reader).problems, vec![]);
}

#[test]
fn a_new_day_begins_a_new_period_and_a_missing_day_is_reported() {
    let place = Place::new();
    let store = place.open();
    let journal = store.journal();
    block_on(async {
        for day in 0..3 {
            let at = UnixMillis(NOW.0 + day * DAY);
            journal.append(session(1), at, refused(&day.to_string())).await.unwrap();
            journal.sync().await.unwrap();
        }
        store.close().await.unwrap();
    });
    let periods = files::periods(&place.config().dir).unwrap();
    assert_eq!(periods.len(), 3);
    let reader = place.reader();
    assert_eq!(events(&reader, 1).len(), 3);
    let report = verify(&reader);
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
    std::fs::remove_dir_all(files::period_dir(&place.config().dir, &periods[1])).unwrap();
    let report = verify(&place.reader());
    assert!(names(&report, 1, 1), "{report:?}");
}

#[test]
fn a_checkpoint_of_someone_else_is_not_trusted() {
    let (place, other) = (Place::new(), Place::new());
    for place in [&place, &other] {
        let store = place.open();
        block_on(async {
            fill(&store.journal(), 1..2, 5).await;
            store.close().await.unwrap();
        });
    }
    let checkpoint = |place: &Place| {
        files::period_dir(&place.config().dir, &resume::day_of(NOW)).join("checkpoint")
    };
    let own = std::fs::read(checkpoint(&place)).unwrap();
    for offset in (0..own.len()).step_by(own.len() / 50 + 1) {
        let report = with_flipped(&checkpoint(&place), offset, || verify(&place.reader()));
        assert!(!report.is_clean(), "byte {offset}");
    }
    std::fs::copy(checkpoint(&other), checkpoint(&place)).unwrap();
    assert!(!verify(&place.reader()).is_clean());
    std::fs::remove_file(checkpoint(&place)).unwrap();
    assert!(!verify(&place.reader()).is_clean());
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

/// What the journal says was found and done about it.
fn recovered(reader: &Reader) -> Vec<String> {
    let details = events(reader, 0).into_iter().filter_map(|event| match event.body {
        EventBody::JournalRecovered { detail } => Some(detail),
        _ => None,
    });
    details.collect()
}

fn is_sealed(place: &Place, period: &str) -> bool {
    let (dir, path) = (place.config().dir.clone(), files::period_dir(&place.config().dir, period));
    let key = checkpoint::public_key(&dir).unwrap();
    checkpoint::read(&path, period, &key).unwrap().unwrap().seal.is_some()
}

#[test]
fn a_period_that_is_read_across_midnight_is_sealed_later_and_nobody_waits() {
    let place = Place::new();
    let store = place.open();
    let journal = store.journal();
    let (reader, tomorrow) = (store.reader().unwrap(), UnixMillis(NOW.0 + DAY));
    let first = resume::day_of(NOW);
    block_on(async {
        journal.append_durable(session(1), NOW, refused("today")).await.unwrap();
        // As a reader that is in the middle of a page holds it.
        let held = journal.live().unwrap();
        let started = std::time::Instant::now();
        journal.append_durable(session(1), tomorrow, refused("tomorrow")).await.unwrap();
        journal.append_durable(session(1), tomorrow, refused("later")).await.unwrap();
        assert!(started.elapsed() < enforcer_core::model::limits::JOURNAL_CHECKPOINT_WAIT);
        assert_eq!(journal.health(), Health::Healthy);
        assert!(!is_sealed(&place, &first), "files that are open were sealed");
        assert_eq!(held.frames(session(1), 0, 9).unwrap().len(), 1);
        assert_eq!(verify(&store.reader().unwrap()).problems, vec![]);
        drop(held);
        // Sealing follows the group; the round after the next answer has it behind it.
        journal.append_durable(session(1), tomorrow, refused("released")).await.unwrap();
        journal.sync().await.unwrap();
        assert!(is_sealed(&place, &first));
        // A reader from before sees what there was then; a new one sees everything.
        assert_eq!(events(&reader, 1).len(), 1);
        assert_eq!(verify(&store.reader().unwrap()).problems, vec![]);
        assert_eq!(events(&store.reader().unwrap(), 1).len(), 4);
        store.close().await.unwrap();
    });
    let report = verify(&place.reader());
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
}

#[test]
fn a_kept_reader_does_not_keep_the_journal_from_closing_and_ends_with_it() {
    let place = Place::new();
    let store = place.open();
    block_on(fill(&store.journal(), 1..2, 5));
    let reader = store.reader().unwrap();
    assert_eq!(events(&reader, 1).len(), 5);
    block_on(store.close()).unwrap();
    assert!(matches!(reader.sessions(), Err(Error::Closed)));
    assert!(matches!(reader.verify(None, &mut |_| {}), Err(Error::Closed)));
    assert!(is_sealed(&place, &resume::day_of(NOW)));
}

#[test]
fn a_journal_that_is_read_to_the_end_is_signed_although_it_cannot_be_sealed() {
    let place = Place::new();
    let store = place.open();
    let held = store.journal().live().unwrap();
    block_on(async {
        fill(&store.journal(), 1..2, 5).await;
        let closed = store.close().await.unwrap_err().to_string();
        assert!(closed.contains("a reader does not let go of it"), "{closed}");
    });
    drop(held);
    let key = checkpoint::public_key(&place.config().dir).unwrap();
    let name = resume::day_of(NOW);
    let path = files::period_dir(&place.config().dir, &name);
    let statement = checkpoint::read(&path, &name, &key).unwrap().unwrap();
    assert_eq!(statement.heads.next_sequence(session(1)), 5);
}

/// Two days of one session, closed.
fn two_days() -> Place {
    let place = Place::new();
    let store = place.open();
    let journal = store.journal();
    block_on(async {
        for day in 0..2 {
            let at = UnixMillis(NOW.0 + day * DAY);
            journal.append_durable(session(1), at, refused(&day.to_string())).await.unwrap();
        }
        store.close().await.unwrap();
    });
    assert_eq!(verify(&place.reader()).problems, vec![]);
    place
}

/// What was done to `place` is a problem now; at the next start it is recorded, the chains go on, and it
/// stays a problem.
fn check_noticed(place: &Place, expect: &str) {
    let says = |report: &VerifyReport| report.problems.iter().any(|p| p.what.contains(expect));
    let report = verify(&place.reader());
    assert!(says(&report), "`{expect}` is not in {report:?}");
    for round in 0..2 {
        let store = place.open_at(UnixMillis(NOW.0 + DAY));
        block_on(async {
            fill(&store.journal(), 1..2, 2).await;
            assert_eq!(store.journal().health(), Health::Healthy);
            let live = verify(&store.reader().unwrap());
            assert!(says(&live), "live in round {round}: `{expect}` is not in {live:?}");
            store.close().await.unwrap();
        });
        let reader = place.reader();
        let detail = recovered(&reader);
        assert_eq!(detail.iter().filter(|d| d.contains(expect)).count(), 1, "{detail:?}");
        let report = verify(&reader);
        assert!(says(&report), "after round {round}: `{expect}` is not in {report:?}");
    }
}

#[test]
fn a_newest_period_that_is_gone_is_noticed() {
    let place = two_days();
    let newest = resume::day_of(UnixMillis(NOW.0 + DAY));
    std::fs::remove_dir_all(files::period_dir(&place.config().dir, &newest)).unwrap();
    check_noticed(&place, &format!("the newest period `{newest}` is gone"));

    let place = two_days();
    let path = files::period_dir(&place.config().dir, &newest);
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    check_noticed(&place, &format!("the newest period `{newest}` is gone"));
}

#[test]
fn a_journal_without_any_of_its_periods_is_noticed() {
    let place = two_days();
    std::fs::remove_dir_all(place.config().dir.join("periods")).unwrap();
    check_noticed(&place, "is gone");
    let place = two_days();
    std::fs::remove_dir_all(place.config().dir.join("periods")).unwrap();
    std::fs::remove_file(place.config().dir.join("latest")).unwrap();
    check_noticed(&place, "`latest`, is gone");
    let place = two_days();
    std::fs::remove_dir_all(place.config().dir.join("periods")).unwrap();
    std::fs::remove_file(place.config().dir.join("checkpoint.key")).unwrap();
    assert!(matches!(Store::open(&place.config(), NOW), Err(Error::Key { .. })));
}

#[test]
fn an_older_copy_of_the_newest_period_is_noticed() {
    let place = two_days();
    let old = place.copy_as_killed();
    let store = place.open_at(UnixMillis(NOW.0 + DAY));
    block_on(async {
        fill(&store.journal(), 1..2, 5).await;
        store.close().await.unwrap();
    });
    let newest = resume::day_of(UnixMillis(NOW.0 + DAY));
    let path = files::period_dir(&place.config().dir, &newest);
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::rename(files::period_dir(&old.config().dir, &newest), &path).unwrap();
    check_noticed(&place, &format!("an older copy of the period `{newest}` was put back"));
}

#[test]
fn a_statement_about_the_newest_period_that_is_not_the_last_one_is_noticed() {
    let latest = |place: &Place| place.config().dir.join("latest");
    let place = two_days();
    std::fs::remove_file(latest(&place)).unwrap();
    check_noticed(&place, "`latest`, is gone");

    let place = two_days();
    let old = std::fs::read(latest(&place)).unwrap();
    for offset in (0..old.len()).step_by(old.len() / 20 + 1) {
        let report = with_flipped(&latest(&place), offset, || verify(&place.reader()));
        assert!(!report.is_clean(), "byte {offset}");
    }
    block_on(place.open_at(UnixMillis(NOW.0 + DAY)).close()).unwrap();
    std::fs::write(latest(&place), old).unwrap();
    check_noticed(&place, "an older copy of `latest` was put back");

    // A checkpoint is signed with the same key and says something similar.
    let place = two_days();
    let (first, newest) = (resume::day_of(NOW), resume::day_of(UnixMillis(NOW.0 + DAY)));
    let dir = place.config().dir;
    std::fs::copy(files::period_dir(&dir, &first).join("checkpoint"), latest(&place)).unwrap();
    std::fs::remove_dir_all(files::period_dir(&dir, &newest)).unwrap();
    check_noticed(&place, "cannot be trusted");
}

#[test]
fn a_crash_between_a_checkpoint_and_the_statement_about_it_is_no_finding() {
    let place = Place::new();
    let store = place.open();
    let latest = place.config().dir.join("latest");
    let before = std::fs::read(&latest).unwrap();
    block_on(store.close()).unwrap();
    // Closing signed once more than this knows.
    std::fs::write(&latest, before).unwrap();
    assert_eq!(verify(&place.reader()).problems, vec![]);
    block_on(place.open().close()).unwrap();
    assert_eq!(recovered(&place.reader()), Vec::<String>::new());
    assert_eq!(verify(&place.reader()).problems, vec![]);
}

#[test]
fn the_report_names_the_key_so_that_a_person_can_compare_it() {
    let (place, other) = (two_days(), two_days());
    let key = verify(&place.reader()).key;
    assert_eq!((key.len(), key.split(' ').count()), (39, 8));
    assert_eq!(verify(&two_days().reader()).key.len(), 39);
    assert_ne!(verify(&other.reader()).key, key);
    // Everything signed anew by someone else is consistent; only the key tells.
    for name in ["periods", "latest", "checkpoint.key", "checkpoint.pub"] {
        let path = place.config().dir.join(name);
        std::fs::rename(&path, place.folder.path().join(name)).unwrap();
        std::fs::rename(other.config().dir.join(name), &path).unwrap();
    }
    let forged = verify(&place.reader());
    assert!(forged.is_clean());
    assert_ne!(forged.key, key);
}

#[test]
fn a_public_key_that_does_not_belong_to_the_journal_is_noticed_and_put_right() {
    let (place, other) = (two_days(), two_days());
    let path = place.config().dir.join("checkpoint.pub");
    let own = std::fs::read(&path).unwrap();
    let foreign = std::fs::read(other.config().dir.join("checkpoint.pub")).unwrap();
    let key = verify(&place.reader()).key;
    std::fs::write(&path, &foreign).unwrap();
    assert!(!verify(&place.reader()).is_clean());
    let store = place.open_at(UnixMillis(NOW.0 + DAY));
    assert_eq!(std::fs::read(&path).unwrap(), own);
    block_on(store.journal().sync()).unwrap();
    std::fs::write(&path, &foreign).unwrap();
    let live = verify(&store.reader().unwrap());
    assert_eq!(live.key, key);
    assert!(live.problems.iter().any(|p| p.what.contains("of the running journal")), "{live:?}");
    std::fs::write(&path, &own).unwrap();
    block_on(store.close()).unwrap();
    assert!(recovered(&place.reader()).concat().contains("was not the public key"));
    assert!(!verify(&place.reader()).is_clean());
    assert_eq!(events(&place.reader(), 1).len(), 2);
}

#[test]
fn records_that_were_not_signed_when_the_daemon_died_are_not_adopted_silently() {
    let place = Place::new();
    let store = place.open();
    block_on(fill(&store.journal(), 1..3, 5));
    let copy = place.copy_as_killed();
    let offline = verify(&copy.reader());
    assert!(offline.notes.concat().contains("but for 10 newer ones"), "{:?}", offline.notes);

    block_on(copy.open().close()).unwrap();
    let reader = copy.reader();
    let adopted =
        format!("10 of 2 sessions (session {}: 5, session {}: 5)", session(1), session(2));
    let detail = recovered(&reader).concat();
    assert!(detail.contains(&adopted), "{detail}");
    let report = verify(&reader);
    assert_eq!(report.problems, vec![]);
    assert!(report.notes.concat().contains(&adopted), "{:?}", report.notes);
    // A clean stop has nothing to say.
    block_on(copy.open().close()).unwrap();
    assert_eq!(recovered(&copy.reader()).len(), 1);
}

#[test]
fn a_crash_while_a_new_day_begins_does_not_break_the_chains() {
    let place = two_days();
    let third = resume::day_of(UnixMillis(NOW.0 + 2 * DAY));
    let path = files::period_dir(&place.config().dir, &third);
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("checkpoint.new"), b"half of a checkp").unwrap();
    let store = place.open_at(UnixMillis(NOW.0 + 2 * DAY));
    block_on(async {
        fill(&store.journal(), 1..2, 1).await;
        store.close().await.unwrap();
    });
    let reader = place.reader();
    assert_eq!(events(&reader, 1).last().unwrap().sequence, 2);
    assert_eq!(verify(&reader).problems, vec![]);
}

#[test]
fn a_day_without_its_checkpoint_does_not_break_chains_from_earlier_days() {
    let place = two_days();
    let newest = resume::day_of(UnixMillis(NOW.0 + DAY));
    let path = files::period_dir(&place.config().dir, &newest).join("checkpoint");
    std::fs::remove_file(path).unwrap();
    let store = place.open_at(UnixMillis(NOW.0 + DAY));
    block_on(async {
        fill(&store.journal(), 1..2, 1).await;
        store.close().await.unwrap();
    });
    let sequences: Vec<u64> = events(&place.reader(), 1).iter().map(|e| e.sequence).collect();
    assert_eq!(sequences, vec![0, 1, 2]);
}
