// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was changed behind the back of the journal is found.

use super::*;

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
