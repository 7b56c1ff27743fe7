// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Questions to people: asked by an exchange that is held, answered by who may, gone when they expire.
//!
//! A question never changes: what is shown is what is sent, so an answer cannot be for something else, and
//! nobody can grant what was not shown to them whole. It is known by a digest of who asks and of everything that
//! goes upstream; the same request of the same session finds it again, and an answer that came too late for the
//! first is taken by the next one, once. No question outlives the daemon: after a restart it has to be asked again,
//! under a number that no question had before.
//! Bounded by [`limits::APPROVALS_MAX`] and [`limits::APPROVALS_SHOWN_BYTES_MAX`], and for one agent by
//! [`limits::APPROVALS_OF_AGENT_MAX`] and [`limits::APPROVALS_OF_AGENT_SHOWN_BYTES_MAX`].

mod number;
mod question;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::model::{ApprovalName, UnixMillis, limits};
use enforcer_core::policy::Approver;
use tokio::sync::watch;
use tokio::time::Instant;

use number::Numbers;
pub use question::{BoundHeader, Question, QuestionId, Shown};

/// How a question stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody said enough yet.
    Open,
    /// It may be sent.
    Granted,
    /// It may not.
    Refused,
}

struct Entry {
    question: Question,
    body: Arc<str>,
    /// Bytes that are kept for it.
    size: usize,
    /// Names of those to whom all of it was shown.
    seen_by: BTreeSet<String>,
    may: BTreeMap<ApprovalName, Vec<Approver>>,
    gone_at: Instant,
    standing: watch::Sender<Standing>,
}

impl Entry {
    fn is_open(&self) -> bool {
        *self.standing.borrow() == Standing::Open
    }
}

/// Who answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// Name of the user.
    pub user: String,
    /// Names of the groups that the user is in.
    pub groups: BTreeSet<String>,
}

impl Person {
    fn is(&self, approver: &Approver) -> bool {
        match approver {
            Approver::User(name) => *name == self.user,
            Approver::Group(name) => self.groups.contains(name),
        }
    }
}

/// Why an answer was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// There is no such question, or not any more.
    #[error("no question {0} is open")]
    Unknown(QuestionId),
    /// The person never saw all of what would be sent.
    #[error("question {0} was not shown to you yet")]
    NotShown(QuestionId),
    /// The person is not one of those who may answer.
    #[error("`{user}` may not answer this; `{needs}` can be answered by {by}")]
    NotYours {
        /// The person.
        user: String,
        /// The approvals.
        needs: String,
        /// Who may.
        by: String,
    },
}

/// Why a question could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// Its number cannot be written down as given.
    #[error("no question can be numbered")]
    NoNumber,
    /// What the open ones show takes all the room there is for it.
    #[error("what other open questions show takes all the room")]
    NoRoom,
    /// Too many are open.
    #[error("too many questions are open")]
    TooMany,
}

/// What became of a question that was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Send it.
    Granted,
    /// Do not.
    Refused,
    /// Nobody answered in time; the question stands.
    Pending,
}

/// All questions of this daemon. Cheap to clone.
#[derive(Clone)]
pub struct Approvals {
    book: Arc<Mutex<Book>>,
    /// SECURITY: without it, a short secret in a body or a header could be found by trying.
    key: [u8; blake3::KEY_LEN],
}

#[derive(Default)]
struct Book {
    numbers: Numbers,
    entries: BTreeMap<QuestionId, Entry>,
}

impl std::fmt::Debug for Approvals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Approvals").field("open", &self.book().entries.len()).finish()
    }
}

/// A question that was asked.
#[derive(Debug)]
pub struct Asked {
    /// Its number.
    pub id: QuestionId,
    /// True if this asked it, false if it stood already.
    pub is_new: bool,
    standing: watch::Receiver<Standing>,
}

impl Approvals {
    /// No questions; `key` is random, and no other daemon has it.
    #[must_use]
    pub fn new(key: [u8; blake3::KEY_LEN]) -> Self {
        Self { book: Arc::default(), key }
    }

    /// The same, with numbers that no daemon before gave, by the file in which they are counted. `is_first`: there
    /// was no daemon before.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(
        key: [u8; blake3::KEY_LEN],
        numbers: &Path,
        is_first: bool,
        now: UnixMillis,
    ) -> io::Result<Self> {
        let numbers = Numbers::open(numbers, is_first, now)?;
        let book = Book { numbers, entries: BTreeMap::new() };
        Ok(Self { book: Arc::new(Mutex::new(book)), key })
    }

    /// Looks whether [`Self::open`] can read the file of the numbers; changes nothing.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn examine(numbers: &Path) -> io::Result<()> {
        number::read(numbers).map(drop)
    }

    /// A keyed hash of these parts, for this use only.
    #[must_use]
    pub fn digest<'p>(
        &self,
        of: &'p str,
        parts: impl IntoIterator<Item = &'p [u8]>,
    ) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in std::iter::once(of.as_bytes()).chain(parts) {
            // The length goes first, so that text cannot move between two parts.
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        book.entries.retain(|_, entry| entry.gone_at > now);
        book
    }

    /// Asks, or finds the same question where it stands already. `body` is all of it, as it may be shown.
    ///
    /// # Errors
    /// Too many questions are open, there is no room for what this one shows, or it cannot be numbered.
    pub fn ask(
        &self,
        question: Question,
        body: String,
        may: BTreeMap<ApprovalName, Vec<Approver>>,
        expire: Duration,
    ) -> Result<Asked, NotAsked> {
        let mut book = self.book();
        let is_same = |entry: &Entry| {
            let (old, new) = (&entry.question, &question);
            // The bundle may have changed who may answer; then it is another question.
            (&old.agent, old.uid, old.session, &old.digest, &entry.may)
                == (&new.agent, new.uid, new.session, &new.digest, &may)
        };
        if let Some((id, entry)) = book.entries.iter().find(|(_, entry)| is_same(entry)) {
            return Ok(Asked { id: *id, is_new: false, standing: entry.standing.subscribe() });
        }
        let size = body.len().saturating_add(written_len(&question));
        let (mut count, mut kept) = (0, size);
        let all_kept = book.entries.values().map(|entry| entry.size).sum::<usize>() + size;
        for entry in book.entries.values().filter(|entry| entry.question.agent == question.agent) {
            count += 1;
            kept += entry.size;
        }
        if book.entries.len() >= limits::APPROVALS_MAX || count >= limits::APPROVALS_OF_AGENT_MAX {
            return Err(NotAsked::TooMany);
        }
        if all_kept > limits::APPROVALS_SHOWN_BYTES_MAX
            || kept > limits::APPROVALS_OF_AGENT_SHOWN_BYTES_MAX
        {
            return Err(NotAsked::NoRoom);
        }
        let number = book.numbers.next().map_err(|error| {
            tracing::error!(%error, "a question cannot be numbered");
            NotAsked::NoNumber
        })?;
        let id = QuestionId(number);
        let (standing, receiver) = watch::channel(Standing::Open);
        let gone_at = Instant::now() + expire;
        let (body, seen_by) = (body.into(), BTreeSet::new());
        book.entries.insert(id, Entry { question, body, size, seen_by, may, gone_at, standing });
        Ok(Asked { id, is_new: true, standing: receiver })
    }

    /// Takes a question back; nobody can answer it any more, and who waits for it waits in vain.
    pub fn withdraw(&self, id: QuestionId) {
        self.book().entries.remove(&id);
    }

    /// Waits for the answer as long as a request is held.
    pub async fn wait(&self, mut asked: Asked, hold: Duration) -> Outcome {
        let is_decided = |standing: &Standing| *standing != Standing::Open;
        let decided = tokio::time::timeout(hold, asked.standing.wait_for(is_decided)).await;
        match decided.map(|found| found.map(|standing| (*standing).clone())) {
            Ok(Ok(Standing::Granted)) => {
                // A grant is for one exchange: whoever takes the question out may send.
                let taken = self.book().entries.remove(&asked.id);
                if taken.is_some() { Outcome::Granted } else { Outcome::Pending }
            }
            Ok(Ok(Standing::Refused)) => Outcome::Refused,
            Ok(Ok(Standing::Open) | Err(_)) | Err(_) => Outcome::Pending,
        }
    }

    /// All questions that wait for an answer.
    #[must_use]
    pub fn all(&self) -> Vec<(QuestionId, Question)> {
        let book = self.book();
        let open = book.entries.iter().filter(|(_, entry)| entry.is_open());
        open.map(|(id, entry)| (*id, entry.question.clone())).collect()
    }

    /// Whether the bundle names this person for an approval that a question needs.
    #[must_use]
    pub fn is_for(&self, id: QuestionId, person: &Person) -> bool {
        let book = self.book();
        let may = book.entries.get(&id).map(|entry| entry.may.values().flatten());
        may.is_some_and(|mut may| may.any(|one| person.is(one)))
    }

    /// All of one of them, for this person, who may grant it from now on if the bundle names them.
    ///
    /// # Errors
    /// There is no such question.
    pub fn show(&self, id: QuestionId, person: &Person) -> Result<Shown, NotTaken> {
        let mut book = self.book();
        let entry = book.entries.get_mut(&id).ok_or(NotTaken::Unknown(id))?;
        if entry.may.values().flatten().any(|one| person.is(one)) {
            entry.seen_by.insert(person.user.clone());
        }
        Ok(Shown { question: entry.question.clone(), body: Arc::clone(&entry.body) })
    }

    /// What an answer of this person would be about.
    ///
    /// # Errors
    /// See [`NotTaken`].
    pub fn may_answer(
        &self,
        id: QuestionId,
        person: &Person,
        grants: bool,
    ) -> Result<(Question, BTreeSet<ApprovalName>), NotTaken> {
        let book = self.book();
        let entry = book.entries.get(&id).ok_or(NotTaken::Unknown(id))?;
        if !entry.is_open() {
            return Err(NotTaken::Unknown(id));
        }
        let may = |name: &&ApprovalName| {
            entry.may.get(*name).is_some_and(|by| by.iter().any(|one| person.is(one)))
        };
        let open = || {
            let question = &entry.question;
            question.needs.iter().filter(|name| !question.granted.contains_key(*name))
        };
        let theirs: BTreeSet<ApprovalName> = open().filter(may).cloned().collect();
        if theirs.is_empty() {
            let needs: Vec<&str> = open().map(ApprovalName::as_str).collect();
            let by = open().filter_map(|name| entry.may.get(name)).flatten().map(approver);
            return Err(NotTaken::NotYours {
                user: person.user.clone(),
                needs: needs.join(", "),
                by: by.collect::<Vec<_>>().join(", "),
            });
        }
        // SECURITY: whoever asks this API, a summary is nothing that can be agreed to.
        if grants && !entry.seen_by.contains(&person.user) {
            return Err(NotTaken::NotShown(id));
        }
        Ok((entry.question.clone(), theirs))
    }

    /// Takes an answer. A refusal by one person is enough; it is granted when every approval is.
    ///
    /// # Errors
    /// See [`NotTaken`].
    pub fn answer(
        &self,
        id: QuestionId,
        person: &Person,
        grants: bool,
    ) -> Result<Standing, NotTaken> {
        let (_, theirs) = self.may_answer(id, person, grants)?;
        let mut book = self.book();
        let entry = book.entries.get_mut(&id).ok_or(NotTaken::Unknown(id))?;
        if grants {
            for name in theirs {
                entry.question.granted.insert(name, person.user.clone());
            }
        }
        let needs = &entry.question.needs;
        let standing = if !grants {
            Standing::Refused
        } else if needs.iter().all(|name| entry.question.granted.contains_key(name)) {
            Standing::Granted
        } else {
            Standing::Open
        };
        entry.standing.send_replace(standing.clone());
        Ok(standing)
    }
}

/// Bytes of a question as it is handed out, about as many as it takes.
fn written_len(question: &Question) -> usize {
    serde_json::to_vec(question).map_or(usize::MAX, |written| written.len())
}

fn approver(approver: &Approver) -> String {
    match approver {
        Approver::User(name) => format!("user:{name}"),
        Approver::Group(name) => format!("group:{name}"),
    }
}

#[cfg(test)]
mod tests;
