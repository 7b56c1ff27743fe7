// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one thread that writes: gives numbers and links in queue order, commits in groups, signs.
//!
//! When a write fails, the engine is thrown away and opened again until the same records are written;
//! meanwhile the health says `Failing` and everybody is refused. Writing a record twice is harmless: it
//! is the same bytes under the same key.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use enforcer_core::model::limits::{
    JOURNAL_BATCH_MAX, JOURNAL_BATCH_WAIT, JOURNAL_CHECKPOINT_RECORDS, JOURNAL_CHECKPOINT_WAIT,
    JOURNAL_RECORD_BYTES_MAX, JOURNAL_RETRY_WAIT, JOURNAL_UNSEALED_MAX,
};
use enforcer_core::model::{SessionId, UnixMillis};
use enforcer_core::record::{BodyRef, Content, ContentRef, Event, EventBody, Frame, encode};

use super::body::{self, BodyWriter};
use super::checkpoint::{Key, Statement};
use super::heads::Heads;
use super::journal::{Ack, Draft, Message, Shared};
use super::latest::Latest;
use super::period::Period;
use super::resume::{Resumed, day_of};
use super::unsealed::Unsealed;
use super::{Error, files};

/// The state of the writing thread.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: Receiver<Message>,
    key: Key,
    /// Name of the open period.
    name: String,
    /// Name of the one before it.
    previous: Option<String>,
    epoch: u32,
    /// The number of the last signature.
    counter: u64,
    /// What was wrong with the journal as a whole when a run began in this period.
    findings: Vec<String>,
    starts: Heads,
    heads: Heads,
    /// Heads that are on disk: what may be signed while a write fails.
    written: Heads,
    last_at: UnixMillis,
    unsigned: u64,
    signed: Instant,
    /// Past periods that are not sealed yet.
    unsealed: Vec<Unsealed>,
    /// When storing a body was last seen to fail.
    probed: Option<Instant>,
    notes: Vec<String>,
}

/// What is written together, and who waits for it.
#[derive(Debug, Default)]
struct Group {
    frames: Vec<Frame>,
    acks: Vec<Ack>,
    close: Option<Ack>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, resumed: Resumed, queue: Receiver<Message>) -> Self {
        let Resumed { key, name, previous, period, epoch, counter, findings, .. } = resumed;
        let Resumed { starts, heads, notes, now, .. } = resumed;
        shared.set_live(Some(Arc::new(period)));
        let (written, signed) = (heads.clone(), Instant::now());
        let (last_at, unsigned) = (now, 0);
        Self {
            shared,
            queue,
            key,
            name,
            previous,
            epoch,
            counter,
            findings,
            starts,
            heads,
            written,
            last_at,
            unsigned,
            signed,
            unsealed: Vec::new(),
            probed: None,
            notes,
        }
    }

    /// Writes until it is closed, or until nobody can send any more.
    pub(super) fn run(mut self) {
        for detail in std::mem::take(&mut self.notes) {
            self.record(detail);
        }
        loop {
            let Some(group) = self.gather() else { return };
            if let Some(ack) = self.commit(group) {
                let sealed = self.finish();
                // Nobody may wait any more; then nobody is told.
                let _gone = ack.send(sealed.map_err(|error| error.chain()));
                return;
            }
            self.probe_bodies();
            self.seal_past();
            self.give_up_past();
        }
    }

    /// Writes down what became of the journal itself.
    fn record(&mut self, detail: String) {
        let mut group = Group::default();
        let body = EventBody::JournalRecovered { detail };
        self.link(&mut group, SessionId::HOST, self.last_at, body);
        self.commit(group);
    }

    /// After a body could not be stored: tries now and then whether one can be, and says so.
    fn probe_bodies(&mut self) {
        let Some(failed) = self.shared.failed_bodies() else { return };
        if self.probed.get_or_insert_with(Instant::now).elapsed() < JOURNAL_RETRY_WAIT {
            return;
        }
        self.probed = Some(Instant::now());
        match body::probe(&self.shared.dir.join("bodies"), &failed.path) {
            Err(error) => tracing::warn!(error = error.chain(), "bodies still cannot be stored"),
            Ok(()) => {
                self.probed = None;
                if let Some(failed) = self.shared.bodies_recovered() {
                    let (count, cause) = (failed.count, failed.cause);
                    self.record(format!(
                        "{count} bodies were not stored, the last because: {cause}"
                    ));
                }
            }
        }
    }

    /// How long the writer may wait for the next event; none: as long as there is none.
    fn patience(&self) -> Option<Duration> {
        let until_signed = JOURNAL_CHECKPOINT_WAIT.saturating_sub(self.signed.elapsed());
        let waits = [
            (self.unsigned > 0).then_some(until_signed),
            self.shared.failed_bodies().map(|_| JOURNAL_RETRY_WAIT),
            (!self.unsealed.is_empty()).then_some(JOURNAL_CHECKPOINT_WAIT),
        ];
        waits.into_iter().flatten().min()
    }

    /// The next group: everything that waits, at most [`JOURNAL_BATCH_MAX`] records. Waits for more only
    /// while nobody waits for the group. None when all ends are gone.
    fn gather(&mut self) -> Option<Group> {
        let mut group = Group::default();
        let first = match self.patience() {
            None => Some(self.queue.recv().ok()?),
            Some(wait) => match self.queue.recv_timeout(wait) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            },
        };
        let deadline = Instant::now() + JOURNAL_BATCH_WAIT;
        let mut next = first;
        while let Some(message) = next.take() {
            self.take(&mut group, message);
            if group.close.is_some() {
                // What came before the close was let in; nothing is let in after it.
                while let Ok(message) = self.queue.try_recv() {
                    self.take(&mut group, message);
                }
                break;
            }
            if group.frames.len() < JOURNAL_BATCH_MAX {
                next = if group.acks.is_empty() {
                    let wait = deadline.saturating_duration_since(Instant::now());
                    self.queue.recv_timeout(wait).ok()
                } else {
                    self.queue.try_recv().ok()
                };
            }
        }
        let (count, at) = self.shared.take_lost();
        if count > 0 {
            self.link(&mut group, SessionId::HOST, at, EventBody::EventsLost { count });
        }
        Some(group)
    }

    fn take(&mut self, group: &mut Group, message: Message) {
        match message {
            Message::Close(ack) => group.close = Some(ack),
            Message::Event(waiting) => {
                let waiting = *waiting;
                group.acks.extend(waiting.ack);
                let body = match waiting.draft {
                    Draft::Ready(body) => *body,
                    Draft::WithBodies(bodies, make) => {
                        make(bodies.into_iter().map(stored).collect())
                    }
                };
                self.link(group, waiting.session, waiting.at, body);
            }
            Message::Sync(ack) => group.acks.push(ack),
            Message::Wake => {}
        }
    }

    /// Gives an event its number and its link.
    fn link(&mut self, group: &mut Group, session: SessionId, at: UnixMillis, body: EventBody) {
        let event = Event { session, sequence: self.heads.next_sequence(session), at, body };
        self.last_at = self.last_at.max(at);
        match self.with_retry(|writer| writer.content(&event)) {
            Some(content) => group.frames.push(self.heads.append(&event, self.epoch, content)),
            None => {
                tracing::error!(%session, "an event was not written: the journal failed to the end")
            }
        }
    }

    /// Where the bytes of an event go: into the record, or into a body file if there are too many.
    fn content(&self, event: &Event) -> Result<Content, Error> {
        let bytes = encode(event)?;
        if bytes.len() <= JOURNAL_RECORD_BYTES_MAX {
            return Ok(Content::Inline(bytes));
        }
        let mut body = BodyWriter::new(self.shared.dir.join("bodies"));
        body.write(&bytes)?;
        let stored = body.finish()?;
        let hash = enforcer_core::record::Hash::of(&bytes);
        Ok(Content::Body(ContentRef { hash, bytes: stored.stored_bytes }))
    }

    /// Writes a group, however long that takes, and answers. Returns who waits for the close.
    fn commit(&mut self, group: Group) -> Option<Ack> {
        let Group { frames, mut acks, close } = group;
        if !frames.is_empty() {
            let is_written = self.with_retry(|writer| {
                // Those who wait are told of the first failure: they deny rather than hang. By then the
                // health says so too.
                let written = writer.write(&frames);
                if let Err(error) = &written {
                    writer.shared.set_records_failing(Some(error.chain()));
                    answer(&mut acks, &Err(error.chain()));
                }
                written
            });
            if is_written.is_some() {
                self.unsigned += u64::try_from(frames.len()).unwrap_or(u64::MAX);
                self.written.take_over(&self.heads, &frames);
            }
        }
        let is_due = self.unsigned >= JOURNAL_CHECKPOINT_RECORDS
            || (self.unsigned > 0 && self.signed.elapsed() >= JOURNAL_CHECKPOINT_WAIT);
        if is_due && close.is_none() && self.with_retry(|writer| writer.sign()).is_some() {
            (self.unsigned, self.signed) = (0, Instant::now());
        }
        answer(&mut acks, &Ok(()));
        close
    }

    fn write(&mut self, frames: &[Frame]) -> Result<(), Error> {
        self.roll_over()?;
        let period = match self.shared.live() {
            Some(period) => period,
            None => self.reopen()?,
        };
        let written = period.write(frames);
        if written.is_err() {
            // The engine refuses everything after an I/O error.
            self.shared.set_live(None);
        }
        written
    }

    fn reopen(&self) -> Result<Arc<Period>, Error> {
        let period = Arc::new(Period::open(&files::period_dir(&self.shared.dir, &self.name))?);
        self.shared.set_live(Some(Arc::clone(&period)));
        Ok(period)
    }

    /// Starts the period of a new day at once; the old one is sealed when its last reader is gone. The
    /// clock going back starts none.
    fn roll_over(&mut self) -> Result<(), Error> {
        let today = day_of(self.last_at);
        if today <= self.name {
            return Ok(());
        }
        self.flush()?;
        self.sign()?;
        let past = self.statement();
        let starts = self.written.carried(self.last_at);
        let path = files::period_dir(&self.shared.dir, &today);
        files::make_dir(&path)?;
        files::sync_dir(&self.shared.dir.join("periods"))?;
        let statement = Statement {
            period: today.clone(),
            previous: Some(self.name.clone()),
            epoch: self.epoch,
            counter: self.counter.saturating_add(1),
            findings: Vec::new(),
            at: self.last_at,
            starts: starts.clone(),
            heads: starts.clone(),
            seal: None,
        };
        self.put_down(&path, &statement)?;
        self.findings.clear();
        let past_path = files::period_dir(&self.shared.dir, &self.name);
        self.unsealed.push(Unsealed::new(past_path, past, self.shared.live()));
        self.shared.set_live(None);
        self.previous = Some(std::mem::replace(&mut self.name, today));
        let is_dropped = |session: &&SessionId| !starts.0.contains_key(*session);
        self.shared.forget_exchanges(self.written.0.keys().filter(is_dropped));
        (self.written, self.starts) = (starts.clone(), starts);
        self.heads = self.heads.carried(self.last_at);
        self.reopen().map(|_period| ())
    }

    /// Has the engine write everything out.
    fn flush(&self) -> Result<(), Error> {
        let Some(period) = self.shared.live() else { return Ok(()) };
        // The engine refuses everything after an I/O error.
        period.flush().inspect_err(|_error| self.shared.set_live(None))
    }

    fn statement(&self) -> Statement {
        Statement {
            period: self.name.clone(),
            previous: self.previous.clone(),
            epoch: self.epoch,
            counter: self.counter,
            findings: self.findings.clone(),
            at: self.last_at,
            starts: self.starts.clone(),
            heads: self.written.clone(),
            seal: None,
        }
    }

    /// Signs where the sessions of the open period stand.
    fn sign(&mut self) -> Result<(), Error> {
        let path = files::period_dir(&self.shared.dir, &self.name);
        let counter = self.counter.saturating_add(1);
        self.put_down(&path, &Statement { counter, ..self.statement() })
    }

    /// Writes the checkpoint of the newest period and, after it, how far the journal goes.
    fn put_down(&mut self, path: &Path, statement: &Statement) -> Result<(), Error> {
        self.key.write(path, statement)?;
        let Statement { epoch, counter, at, .. } = *statement;
        let newest = Some(statement.period.clone());
        Latest { newest, epoch, counter, at }.write(&self.shared.dir, &self.key)?;
        self.counter = counter;
        Ok(())
    }

    /// Seals the past periods that nobody reads any more. Their records are signed already, so that one
    /// that cannot be sealed yet is no reason to refuse anything.
    fn seal_past(&mut self) {
        let key = &self.key;
        self.unsealed.retain_mut(|past| match past.try_seal(key) {
            Ok(is_sealed) => !is_sealed,
            Err(error) => {
                tracing::warn!(error = error.chain(), "a past journal period is not sealed yet");
                true
            }
        });
    }

    /// Lets go of the oldest past periods when too many are still read.
    fn give_up_past(&mut self) {
        let excess = self.unsealed.len().saturating_sub(JOURNAL_UNSEALED_MAX);
        let given_up: Vec<Unsealed> = self.unsealed.drain(..excess).collect();
        for past in given_up {
            let path = past.path().display().to_string();
            self.record(format!("the journal period `{path}` stays unsealed: it is still read"));
        }
    }

    /// Signs, and seals what nobody reads any more. Readers stop by themselves when the journal closes;
    /// one that does not gets [`JOURNAL_CHECKPOINT_WAIT`].
    fn finish(&mut self) -> Result<(), Error> {
        if self.heads != self.written {
            return Err(Error::Failing("waiting events could not be written".to_owned()));
        }
        self.flush()?;
        self.sign()?;
        let path = files::period_dir(&self.shared.dir, &self.name);
        let last = Unsealed::new(path, self.statement(), self.shared.live());
        self.shared.set_live(None);
        self.unsealed.push(last);
        let started = Instant::now();
        loop {
            self.seal_past();
            let Some(past) = self.unsealed.last() else { return Ok(()) };
            if started.elapsed() > JOURNAL_CHECKPOINT_WAIT {
                let cause = "it is signed, and a reader does not let go of it";
                return Err(Error::engine("seal", past.path(), cause));
            }
            std::thread::sleep(JOURNAL_BATCH_WAIT);
        }
    }

    /// Does something until it succeeds, with the health saying so; gives up only when closing.
    fn with_retry<T>(&mut self, mut call: impl FnMut(&mut Self) -> Result<T, Error>) -> Option<T> {
        loop {
            match call(self) {
                Ok(value) => {
                    self.shared.set_records_failing(None);
                    return Some(value);
                }
                Err(error) => self.shared.set_records_failing(Some(error.chain())),
            }
            if self.shared.is_closing.load(Ordering::Acquire) {
                return None;
            }
            std::thread::sleep(JOURNAL_RETRY_WAIT);
        }
    }
}

fn answer(acks: &mut Vec<Ack>, with: &Result<(), String>) {
    for ack in acks.drain(..) {
        // Who does not wait any more is not told.
        let _gone = ack.send(with.clone());
    }
}

/// Stores a body; one that cannot be stored is missing from its record, which says so by that, and the
/// journal is failing until one can be.
fn stored(body: BodyWriter) -> Option<BodyRef> {
    body.finish()
        .inspect_err(|error| tracing::error!(error = error.chain(), "a body was not stored"))
        .ok()
}
