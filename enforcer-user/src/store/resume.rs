// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Opens the journal where the last run left it, and says what was not as it should be.
//!
//! Errs towards keeping evidence: what is altered or cannot be opened is moved aside untouched, and the
//! chains go on in a new period from what was signed.

use std::collections::BTreeSet;
use std::path::Path;

use enforcer_core::model::UnixMillis;
use enforcer_core::model::limits::JOURNAL_FINDINGS_MAX;
use enforcer_core::record::{Content, Frame, decode};

use super::checkpoint::{self, Key, Seal, Statement};
use super::heads::Heads;
use super::latest::{Latest, Reach};
use super::period::{ENGINE_DIR, Period};
use super::scan::Scan;
use super::{Error, body, files, unsealed};

/// The journal, ready for the writer.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) key: Key,
    /// Name of the period that is open: a day.
    pub(super) name: String,
    /// Name of the period before it.
    pub(super) previous: Option<String>,
    pub(super) period: Period,
    pub(super) epoch: u32,
    /// The number of the last signature.
    pub(super) counter: u64,
    /// What is wrong with the journal as a whole, for each checkpoint of the period.
    pub(super) findings: Vec<String>,
    pub(super) starts: Heads,
    pub(super) heads: Heads,
    /// What was found and done, for the first record.
    pub(super) notes: Vec<String>,
    pub(super) now: UnixMillis,
}

/// Opens the journal at `dir`.
pub(super) fn resume(dir: &Path, now: UnixMillis) -> Result<Resumed, Error> {
    files::make_dir(&dir.join("periods"))?;
    files::make_dir(&dir.join("bodies").join("tmp"))?;
    let (key, key_finding) = Key::load_or_make(dir)?;
    refuse_running(dir)?;
    remove_temporary_bodies(dir)?;
    let mut notes = Vec::new();
    let reach = Reach::of(dir, key.public())?;
    let found: Vec<String> = reach.finding.iter().cloned().chain(key_finding).collect();
    notes.extend(found.iter().cloned());
    let last = last_used(dir, &mut notes)?;
    let today = day_of(now);
    // The clock may have gone back: a later day goes on.
    let name = last.as_ref().map_or_else(|| today.clone(), |last| last.max(&today).clone());
    let Taken { epoch, previous, mut findings, starts, heads } = match last {
        None => Taken { epoch: 1, ..Taken::default() },
        Some(last) => take_over(dir, &key, (&last, &name), now, &mut notes)?,
    };
    // The run that signed what is gone counts as well, so that its records are never taken for ours.
    let epoch = epoch.max(reach.epoch().saturating_add(1));
    let known = findings.clone();
    findings.extend(found.into_iter().filter(|finding| !known.contains(finding)));
    findings.truncate(JOURNAL_FINDINGS_MAX);
    let counter = reach.next_counter();
    let path = files::period_dir(dir, &name);
    files::make_dir(&path)?;
    files::sync_dir(&dir.join("periods"))?;
    // Unsealed before the engine touches a byte, so that a crash from here on is a crash, not a forgery.
    let statement = Statement {
        period: name.clone(),
        previous: previous.clone(),
        epoch,
        counter,
        findings: findings.clone(),
        at: now,
        starts: starts.clone(),
        heads: heads.clone(),
        seal: None,
    };
    key.write(&path, &statement)?;
    Latest { newest: Some(name.clone()), epoch, counter, at: now }.write(dir, &key)?;
    let period = Period::open(&path)?;
    for note in &notes {
        tracing::error!(journal = %dir.display(), "{note}");
    }
    Ok(Resumed { key, name, previous, period, epoch, counter, findings, starts, heads, notes, now })
}

/// The newest period that was not moved aside. What a crash left between making a folder and its first
/// checkpoint is removed on the way.
fn last_used(dir: &Path, notes: &mut Vec<String>) -> Result<Option<String>, Error> {
    for name in files::periods(dir)?.into_iter().rev().filter(|name| !files::is_aside(name)) {
        let path = files::period_dir(dir, &name);
        if !files::names(&path)?.iter().all(|file| file == checkpoint::UNFINISHED_NAME) {
            return Ok(Some(name));
        }
        std::fs::remove_dir_all(&path).map_err(|e| Error::disk("remove", &path, e))?;
        notes.push(format!("the journal period `{name}` was never used; it was removed"));
    }
    Ok(None)
}

/// What the open period takes over from before.
#[derive(Default)]
struct Taken {
    epoch: u32,
    previous: Option<String>,
    findings: Vec<String>,
    starts: Heads,
    heads: Heads,
}

/// What the period `last` leaves to the one named `name`.
fn take_over(
    dir: &Path,
    key: &Key,
    (last, name): (&str, &str),
    now: UnixMillis,
    notes: &mut Vec<String>,
) -> Result<Taken, Error> {
    let path = files::period_dir(dir, last);
    let left = look(&path, last, key.public(), || signed_before(dir, last, key.public()))?;
    let (statement, heads) = match left {
        Left::Sealed(statement) => {
            let heads = statement.heads.clone();
            (statement, heads)
        }
        Left::Crashed(statement, heads) => {
            let adopted = heads.beyond(&statement.heads);
            notes.push(format!("the journal period `{last}` was not closed; {adopted}"));
            (statement, heads)
        }
        Left::Damaged { why, cause, epoch, heads } => {
            let aside = files::move_aside(dir, last, why)?;
            notes
                .push(format!("the journal period `{last}` was moved aside to `{aside}`: {cause}"));
            return Ok(follow(epoch.saturating_add(1), Some(aside), &heads, now));
        }
    };
    let epoch = statement.epoch.saturating_add(1);
    if last == name {
        let Statement { previous, findings, starts, .. } = statement;
        return Ok(Taken { epoch, previous, findings, starts, heads });
    }
    if statement.seal.is_none() {
        let seal = Some(Seal::of(&path.join(ENGINE_DIR))?);
        key.write(&path, &Statement { epoch, heads: heads.clone(), seal, ..statement })?;
    }
    Ok(follow(epoch, Some(last.to_owned()), &heads, now))
}

/// The beginning of a new period.
fn follow(epoch: u32, previous: Option<String>, heads: &Heads, now: UnixMillis) -> Taken {
    let starts = heads.carried(now);
    Taken { epoch, previous, findings: Vec::new(), heads: starts.clone(), starts }
}

/// How the last run left its period.
enum Left {
    Crashed(Statement, Heads),
    Damaged { why: &'static str, cause: String, epoch: u32, heads: Heads },
    Sealed(Statement),
}

/// Where the sessions stood when the period before `name` that can be trusted was signed last.
fn signed_before(dir: &Path, name: &str, public: &[u8]) -> Result<Heads, Error> {
    let names = files::periods(dir)?;
    for earlier in names.iter().rev().skip_while(|other| *other != name).skip(1) {
        match checkpoint::read(&files::period_dir(dir, earlier), earlier, public) {
            Ok(Some(statement)) => return Ok(statement.heads),
            Ok(None) | Err(Error::Checkpoint { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Heads::default())
}

fn look(
    path: &Path,
    name: &str,
    public: &[u8],
    signed_before: impl FnOnce() -> Result<Heads, Error>,
) -> Result<Left, Error> {
    let statement = match checkpoint::read(path, name, public) {
        Ok(Some(statement)) => statement,
        Ok(None) => {
            return salvaged(path, "altered", "its checkpoint is gone", 0, signed_before()?);
        }
        Err(error @ Error::Checkpoint { .. }) => {
            return salvaged(path, "altered", &error.to_string(), 0, signed_before()?);
        }
        Err(error) => return Err(error),
    };
    if let Some(seal) = &statement.seal {
        let changes = seal.changes(&path.join(ENGINE_DIR))?;
        return Ok(match changes.first() {
            None => Left::Sealed(statement),
            Some(change) => Left::Damaged {
                why: "altered",
                cause: format!(
                    "the file `{}` {} while no daemon ran",
                    change.path.display(),
                    change.what
                ),
                epoch: statement.epoch,
                heads: statement.heads,
            },
        });
    }
    match recover(path, &statement) {
        Ok(heads) => Ok(Left::Crashed(statement, heads)),
        Err(error) => salvaged(path, "corrupt", &error.chain(), statement.epoch, statement.heads),
    }
}

/// A damaged period with what can be found in its raw bytes beyond `signed`.
fn salvaged(
    path: &Path,
    why: &'static str,
    cause: &str,
    epoch: u32,
    signed: Heads,
) -> Result<Left, Error> {
    let (found, heads) = salvage(path, signed.clone())?;
    let cause = format!("{cause}; {}", heads.beyond(&signed));
    Ok(Left::Damaged { why, cause, epoch: epoch.max(found), heads })
}

/// Where the sessions stand after a crash: the signed heads, and what the engine has beyond them.
fn recover(path: &Path, statement: &Statement) -> Result<Heads, Error> {
    let period = Period::open(path)?;
    let mut heads = statement.heads.clone();
    let lasts = period.last_frames()?;
    for (session, state) in &statement.heads.0 {
        let started = statement.starts.next_sequence(*session);
        let is_there = state.head.count == started || {
            let signed = period.frames(*session, state.head.count.saturating_sub(1), 1)?;
            signed.first().is_some_and(|frame| {
                frame.session == *session && frame.is_intact() && frame.hash == state.head.hash
            })
        };
        if !is_there {
            let cause = format!("the signed record {}/{} is not there", session, state.head.count);
            return Err(Error::engine("recover", path, cause));
        }
    }
    for last in lasts {
        loop {
            let next = heads.next_sequence(last.session);
            let page = period.frames(last.session, next, 64)?;
            let mut page = page.iter().filter(|frame| frame.session == last.session).peekable();
            if page.peek().is_none() {
                break;
            }
            for frame in page {
                if !heads.follow(frame, event_of(path, frame).as_ref()) {
                    let cause =
                        format!("the record {}/{} does not follow", frame.session, frame.sequence);
                    return Err(Error::engine("recover", path, cause));
                }
            }
        }
    }
    Ok(heads)
}

/// Goes on from `heads` over the records that can be found in the raw bytes of a damaged period.
fn salvage(path: &Path, mut heads: Heads) -> Result<(u32, Heads), Error> {
    let scan = Scan::of(path)?;
    let epoch = scan.records.values().map(|place| place.epoch).max().unwrap_or(0);
    let sessions: BTreeSet<_> = scan.records.keys().map(|(session, _)| *session).collect();
    for session in sessions {
        let from = heads.next_sequence(session);
        for place in scan.records.range((session, from)..=(session, u64::MAX)).map(|(_, p)| p) {
            let Some(frame) = scan.read(place)? else { break };
            if !heads.follow(&frame, event_of(path, &frame).as_ref()) {
                break;
            }
        }
    }
    Ok((epoch, heads))
}

fn event_of(period: &Path, frame: &Frame) -> Option<enforcer_core::record::Event> {
    let bodies = period.parent()?.parent()?.join("bodies");
    match &frame.content {
        Content::Inline(bytes) => decode(bytes).ok(),
        Content::Body(content) => decode(&body::read(&bodies, &content.hash).ok()?).ok(),
    }
}

/// Fails if a process has a period open. The engine takes the same lock and keeps it.
pub(super) fn refuse_running(dir: &Path) -> Result<(), Error> {
    for name in files::periods(dir)? {
        if unsealed::is_locked(&files::period_dir(dir, &name).join(ENGINE_DIR)) {
            return Err(Error::Running(dir.to_owned()));
        }
    }
    Ok(())
}

fn remove_temporary_bodies(dir: &Path) -> Result<(), Error> {
    let folder = dir.join("bodies").join("tmp");
    for name in files::names(&folder)? {
        let path = folder.join(name);
        files::remove_if_there(&path).map_err(|e| Error::disk("remove", &path, e))?;
    }
    Ok(())
}

/// The day of a moment, UTC: the name of its period.
pub(super) fn day_of(at: UnixMillis) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    moment.strftime("%Y-%m-%d").to_string()
}
