// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The end of the journal that everybody holds: puts events into the queue, counts exchanges, says how
//! the journal is. Errs towards refusing: what is not taken is an error, and the caller denies.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use enforcer_core::model::limits::{JOURNAL_DURABLE_WAIT, JOURNAL_QUEUE_MAX, JOURNAL_WAIT};
use enforcer_core::model::{AgentName, ExchangeId, SessionId, UnixMillis};
use enforcer_core::record::{Allowances, BodyRef, EventBody, Spent};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::body::{AsyncBodyWriter, BodyWriter};
use super::heads::Heads;
use super::period::Period;
use super::reader::Reader;
use super::scan::Scan;
use super::{Config, Error, checkpoint};

/// How the journal is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// The last write, of records or of a body, failed; events are refused until one succeeds.
    Failing(String),
    /// Events are written.
    Healthy,
}

/// Answers when everything before it is durable.
pub(super) type Ack = oneshot::Sender<Result<(), String>>;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Message {
    /// Write everything that waits, sign, seal, end.
    Close(Ack),
    /// Write an event.
    Event(Box<Waiting>),
    /// Say when everything before is durable.
    Sync(Ack),
    /// A body could not be stored: look whether it can be now.
    Wake,
}

/// An event in the queue.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) session: SessionId,
    pub(super) at: UnixMillis,
    pub(super) draft: Draft,
    pub(super) ack: Option<Ack>,
    /// Its place in the queue; given back when it is dropped.
    _place: OwnedSemaphorePermit,
}

/// An event, or what it will be once its bodies are stored.
pub(super) enum Draft {
    Ready(Box<EventBody>),
    WithBodies(Vec<BodyWriter>, MakeEvent),
}

/// Makes an event from the references of its bodies, in order; None for one that could not be stored.
pub(super) type MakeEvent = Box<dyn FnOnce(Vec<Option<BodyRef>>) -> EventBody + Send>;

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready(body) => f.debug_tuple("Ready").field(body).finish(),
            Self::WithBodies(bodies, _make) => f.debug_tuple("WithBodies").field(bodies).finish(),
        }
    }
}

/// A place in the queue, kept for an event that is to come: using it never waits and never fails, so
/// that what was opened can always be closed.
#[derive(Debug)]
pub struct Place {
    journal: Journal,
    place: OwnedSemaphorePermit,
}

impl Place {
    /// Puts the event into the queue.
    pub fn record(self, session: SessionId, at: UnixMillis, body: EventBody) {
        self.put(session, at, Draft::Ready(Box::new(body)), None);
    }

    /// Puts an event into the queue whose bodies the writer makes durable before it; `make` gets their
    /// references. Nothing on the data path waits for a disk.
    pub fn record_with(
        self,
        session: SessionId,
        at: UnixMillis,
        bodies: Vec<BodyWriter>,
        make: impl FnOnce(Vec<Option<BodyRef>>) -> EventBody + Send + 'static,
    ) {
        self.put(session, at, Draft::WithBodies(bodies, Box::new(make)), None);
    }

    /// Puts the event into the queue. What is returned waits until it is durable; many at once share one
    /// write.
    #[must_use]
    pub fn record_durable(self, session: SessionId, at: UnixMillis, body: EventBody) -> Durable {
        let (ack, answer) = oneshot::channel();
        self.put(session, at, Draft::Ready(Box::new(body)), Some(ack));
        Durable { answer }
    }

    fn put(self, session: SessionId, at: UnixMillis, draft: Draft, ack: Option<Ack>) {
        let Self { journal, place } = self;
        if journal.send(session, at, draft, ack, place).is_err() {
            // Only when the writer is gone, which the drain waits to avoid.
            journal.count_lost(at);
        }
    }
}

/// An event that is in the queue, and will be durable.
#[derive(Debug)]
pub struct Durable {
    answer: oneshot::Receiver<Result<(), String>>,
}

impl Durable {
    /// Returns when the event survives a kill and a power loss.
    ///
    /// # Errors
    /// If the write fails, takes longer than [`JOURNAL_DURABLE_WAIT`], or the journal is closed: deny. The
    /// event may still be written later.
    pub async fn wait(self) -> Result<(), Error> {
        let answer = tokio::time::timeout(JOURNAL_DURABLE_WAIT, self.answer).await;
        answer
            .map_err(|_elapsed| Error::Slow)?
            .map_err(|_gone| Error::Closed)?
            .map_err(Error::Failing)
    }
}

/// What fails at the moment. Records and bodies fail and recover on their own.
#[derive(Debug, Default)]
struct Failures {
    records: Option<String>,
    bodies: Option<FailedBodies>,
}

impl Failures {
    fn health(&self) -> Health {
        let bodies = self.bodies.as_ref().map(|failed| &failed.cause);
        self.records.as_ref().or(bodies).map_or(Health::Healthy, |c| Health::Failing(c.clone()))
    }
}

/// Bodies that could not be stored since the last one that could.
#[derive(Clone, Debug)]
pub(super) struct FailedBodies {
    /// Where the last of them should have gone.
    pub(super) path: PathBuf,
    /// Why it did not.
    pub(super) cause: String,
    /// How many there are.
    pub(super) count: u64,
}

/// What the ends and the writer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    /// The key that signs what is written.
    pub(super) public: Vec<u8>,
    places: Arc<Semaphore>,
    pub(super) is_closing: AtomicBool,
    failures: Mutex<Failures>,
    lost: AtomicU64,
    lost_at: AtomicU64,
    exchanges: Mutex<HashMap<SessionId, u64>>,
    /// What each agent may still have stored, by the time since `began`.
    allowances: Mutex<Allowances>,
    began: Instant,
    /// The open period: read by everyone, replaced by the writer.
    pub(super) live: RwLock<Option<Arc<Period>>>,
    /// Scans of periods that do not change any more.
    pub(super) archive: Mutex<HashMap<String, Arc<Scan>>>,
}

impl Shared {
    pub(super) fn new(config: Config, public: Vec<u8>, heads: &Heads) -> Arc<Self> {
        let Config { dir, stored } = config;
        let exchanges = heads.0.iter().map(|(id, state)| (*id, state.exchanges)).collect();
        Arc::new(Self {
            dir,
            public,
            places: Arc::new(Semaphore::new(JOURNAL_QUEUE_MAX)),
            is_closing: AtomicBool::new(false),
            failures: Mutex::new(Failures::default()),
            lost: AtomicU64::new(0),
            lost_at: AtomicU64::new(0),
            exchanges: Mutex::new(exchanges),
            allowances: Mutex::new(Allowances::new(stored)),
            began: Instant::now(),
            live: RwLock::new(None),
            archive: Mutex::new(HashMap::new()),
        })
    }

    pub(super) fn health(&self) -> Health {
        lock(&self.failures).health()
    }

    /// Says why records cannot be written, or that they can.
    pub(super) fn set_records_failing(&self, cause: Option<String>) {
        self.change(|failures| failures.records = cause);
    }

    /// Notes that a body was not stored at `path`; everybody is refused until one can be.
    pub(super) fn body_failed(&self, path: &Path, cause: String) {
        self.change(|failures| {
            let count = failures.bodies.as_ref().map_or(0, |failed| failed.count).saturating_add(1);
            failures.bodies = Some(FailedBodies { path: path.to_owned(), cause, count });
        });
    }

    pub(super) fn failed_bodies(&self) -> Option<FailedBodies> {
        lock(&self.failures).bodies.clone()
    }

    /// Notes that bodies can be stored again. Returns what failed until now.
    pub(super) fn bodies_recovered(&self) -> Option<FailedBodies> {
        let mut failed = None;
        self.change(|failures| failed = failures.bodies.take());
        failed
    }

    fn change(&self, change: impl FnOnce(&mut Failures)) {
        let mut failures = lock(&self.failures);
        let before = failures.health();
        change(&mut failures);
        let health = failures.health();
        if before != health {
            match &health {
                Health::Failing(cause) => {
                    tracing::error!(cause, "the journal fails; events are refused")
                }
                Health::Healthy => tracing::info!("the journal is healthy again"),
            }
        }
    }

    /// How many events were lost since the last call, and when the last one was.
    pub(super) fn take_lost(&self) -> (u64, UnixMillis) {
        let count = self.lost.swap(0, Ordering::Relaxed);
        (count, UnixMillis(self.lost_at.load(Ordering::Relaxed)))
    }

    /// Forgets the exchange counts of sessions that the writer does not carry any more.
    pub(super) fn forget_exchanges<'a>(&self, sessions: impl Iterator<Item = &'a SessionId>) {
        let mut exchanges = lock(&self.exchanges);
        for session in sessions {
            exchanges.remove(session);
        }
    }

    pub(super) fn live(&self) -> Option<Arc<Period>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_live(&self, period: Option<Arc<Period>>) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = period;
    }

    fn check(&self) -> Result<(), Error> {
        if self.is_closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        match self.health() {
            Health::Failing(cause) => Err(Error::Failing(cause)),
            Health::Healthy => Ok(()),
        }
    }
}

fn refused(error: mpsc::TrySendError<Message>) -> Error {
    match error {
        mpsc::TrySendError::Full(_) => Error::Full,
        mpsc::TrySendError::Disconnected(_) => Error::Closed,
    }
}

/// The data in these is whole between any two statements, so a panic elsewhere does not spoil it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end that events are put into. Clones are the same end.
#[derive(Clone, Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    queue: mpsc::SyncSender<Message>,
}

impl Journal {
    /// The fingerprint of the key that signs what is written, for a person to note and compare.
    #[must_use]
    pub fn key(&self) -> String {
        checkpoint::fingerprint(&self.shared.public)
    }

    /// An end, and the other end for the writer.
    pub(super) fn new(shared: Arc<Shared>) -> (Self, mpsc::Receiver<Message>) {
        // Room for the events that have a place, and for those who wait for `sync` or `close`.
        let (queue, receiver) = mpsc::sync_channel(JOURNAL_QUEUE_MAX.saturating_mul(2));
        (Self { shared, queue }, receiver)
    }

    /// Puts an event into the queue; its number and its link are given in queue order. Returning says
    /// that it will be written, not that it is durable: see [`Journal::append_durable`].
    ///
    /// # Errors
    /// If the queue stays full for [`JOURNAL_WAIT`], or the journal is closed or failing: deny.
    pub async fn append(
        &self,
        session: SessionId,
        at: UnixMillis,
        body: EventBody,
    ) -> Result<(), Error> {
        self.reserve().await?.record(session, at, body);
        Ok(())
    }

    /// Keeps a place in the queue.
    ///
    /// # Errors
    /// If the queue stays full for [`JOURNAL_WAIT`], or the journal is closed or failing: deny.
    pub async fn reserve(&self) -> Result<Place, Error> {
        self.shared.check()?;
        let place = Arc::clone(&self.shared.places).acquire_owned();
        let place = tokio::time::timeout(JOURNAL_WAIT, place).await;
        let place = place.map_err(|_elapsed| Error::Full)?.map_err(|_closed| Error::Closed)?;
        // It may have failed or closed while this event waited.
        self.shared.check()?;
        Ok(Place { journal: self.clone(), place })
    }

    /// As [`Journal::append`], and waits until the event is durable.
    ///
    /// # Errors
    /// As [`Journal::append`] and [`Durable::wait`]: deny.
    pub async fn append_durable(
        &self,
        session: SessionId,
        at: UnixMillis,
        body: EventBody,
    ) -> Result<(), Error> {
        self.reserve().await?.record_durable(session, at, body).wait().await
    }

    /// Puts an event into the queue if there is a place at once; otherwise counts it, and the count is
    /// recorded when there is a place again. For events that nobody can wait for (the kernel's).
    pub fn append_or_count(&self, session: SessionId, at: UnixMillis, body: EventBody) {
        let place = Arc::clone(&self.shared.places).try_acquire_owned();
        let taken = self.shared.check().is_ok()
            && place.is_ok_and(|place| {
                self.send(session, at, Draft::Ready(Box::new(body)), None, place).is_ok()
            });
        if !taken {
            self.count_lost(at);
        }
    }

    fn count_lost(&self, at: UnixMillis) {
        self.shared.lost_at.fetch_max(at.0, Ordering::Relaxed);
        self.shared.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until everything before is durable.
    ///
    /// # Errors
    /// If the journal is closed or the write fails.
    pub async fn sync(&self) -> Result<(), Error> {
        self.ask(Message::Sync).await
    }

    /// How the journal is now. While it fails, every append is refused; the writer tries again by itself.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// A writer for one body, for blocking threads.
    #[must_use]
    pub fn body(&self) -> BodyWriter {
        BodyWriter::new(self.shared.dir.join("bodies")).reporting_to(self.clone())
    }

    /// The same for what an agent causes: it takes no more than that agent may still have stored.
    #[must_use]
    pub fn body_of(&self, agent: &AgentName) -> BodyWriter {
        self.body().counted_for(agent.clone())
    }

    /// Takes these bytes out of what the agent may still have stored; false if they may not be stored.
    #[must_use]
    pub fn may_store(&self, agent: &AgentName, bytes: u64) -> bool {
        let now = self.shared.began.elapsed();
        lock(&self.shared.allowances).take(agent, bytes, now)
    }

    /// The agents of which something was not stored lately, because they stored as much as they may.
    #[must_use]
    pub fn spent(&self) -> Vec<Spent> {
        let now = self.shared.began.elapsed();
        lock(&self.shared.allowances).spent(now)
    }

    /// A writer for one body, for tasks.
    #[must_use]
    pub fn body_async(&self) -> AsyncBodyWriter {
        AsyncBodyWriter::new(self.body())
    }

    /// The id of the next exchange of a session: counted from 1, continued after a restart.
    #[must_use]
    pub fn next_exchange(&self, session: SessionId) -> ExchangeId {
        let mut exchanges = lock(&self.shared.exchanges);
        let number = exchanges.entry(session).or_insert(0);
        *number = number.saturating_add(1);
        ExchangeId { session, number: *number }
    }

    /// A reader of everything that is durable. Blocks on the disk: call it on a blocking thread.
    ///
    /// # Errors
    /// If a folder of the journal cannot be read.
    pub fn reader(&self) -> Result<Reader, Error> {
        Reader::live(&self.shared)
    }

    /// Notes that a body was not stored at `path`, and has the writer find out when it can be.
    pub(super) fn body_failed(&self, path: &Path, error: &Error) {
        self.shared.body_failed(path, error.chain());
        // A writer whose queue is full is awake.
        let _full = self.queue.try_send(Message::Wake);
    }

    /// The engine of the open period, as a reader takes it for one page.
    #[cfg(test)]
    pub(super) fn live(&self) -> Option<Arc<Period>> {
        self.shared.live()
    }

    /// Lets nothing more in and waits until the journal is sealed.
    pub(super) async fn close(&self) -> Result<(), Error> {
        self.shared.is_closing.store(true, Ordering::Release);
        self.ask(Message::Close).await
    }

    async fn ask(&self, message: impl FnOnce(Ack) -> Message) -> Result<(), Error> {
        let (ack, answer) = oneshot::channel();
        self.queue.try_send(message(ack)).map_err(refused)?;
        answer.await.map_err(|_gone| Error::Closed)?.map_err(Error::Failing)
    }

    fn send(
        &self,
        session: SessionId,
        at: UnixMillis,
        draft: Draft,
        ack: Option<Ack>,
        place: OwnedSemaphorePermit,
    ) -> Result<(), Error> {
        let waiting = Waiting { session, at, draft, ack, _place: place };
        self.queue.try_send(Message::Event(Box::new(waiting))).map_err(refused)
    }
}
