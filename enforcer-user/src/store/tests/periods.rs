// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Days, crashes, and what a signed statement says about them.

use super::*;

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
        assert!(started.elapsed() < limits::JOURNAL_CHECKPOINT_WAIT);
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
