// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Questions to people: asked by an exchange that is held, answered by who may, gone when they expire.
//!
//! A question never changes: what is shown is what is sent, so an answer cannot be for something else. It is
//! known by a digest of everything that goes upstream; the same request of the same agent finds it again, and an
//! answer that came too late for the first is taken by the next one, once. Nothing outlives the daemon: after a
//! restart it has to be asked again. Bounded by [`limits::APPROVALS_MAX`] and
//! [`limits::APPROVALS_OF_AGENT_MAX`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::model::{
    AgentName, ApprovalName, EndpointName, ExchangeId, Facts, UnixMillis, limits,
};
use enforcer_core::policy::Approver;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

/// Number of a question; never given twice by one daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuestionId(pub u64);

impl std::fmt::Display for QuestionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What is asked, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The exchange that asked first.
    pub exchange: ExchangeId,
    /// Who wants it.
    pub agent: AgentName,
    /// Where to.
    pub endpoint: EndpointName,
    /// Host and port.
    pub host: String,
    /// Method and path, masked as in the record.
    pub request_line: String,
    /// What the policy saw, masked as in the record.
    pub facts: Facts,
    /// The body as it goes out, with everything masked that the bundle masks; none if no codec can mask it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// BLAKE3 of everything that goes out.
    pub digest: String,
    /// The approvals that it needs.
    pub needs: BTreeSet<ApprovalName>,
    /// Those that were given, and by whom.
    pub granted: BTreeMap<ApprovalName, String>,
    /// When it was asked.
    pub asked: UnixMillis,
    /// When it is gone.
    pub expires: UnixMillis,
}

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

/// A question could not be asked: too many are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

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
#[derive(Clone, Default)]
pub struct Approvals(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    last: u64,
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
    fn book(&self) -> MutexGuard<'_, Book> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        book.entries.retain(|_, entry| entry.gone_at > now);
        book
    }

    /// Asks, or finds the same question where it stands already.
    ///
    /// # Errors
    /// Too many questions are open.
    pub fn ask(
        &self,
        question: Question,
        may: BTreeMap<ApprovalName, Vec<Approver>>,
        expire: Duration,
    ) -> Result<Asked, TooMany> {
        let mut book = self.book();
        let is_same = |entry: &Entry| {
            let (old, new) = (&entry.question, &question);
            // The bundle may have changed who may answer; then it is another question.
            (&old.agent, &old.digest, &entry.may) == (&new.agent, &new.digest, &may)
        };
        if let Some((id, entry)) = book.entries.iter().find(|(_, entry)| is_same(entry)) {
            return Ok(Asked { id: *id, is_new: false, standing: entry.standing.subscribe() });
        }
        let entries = book.entries.values();
        let of_agent = entries.filter(|entry| entry.question.agent == question.agent).count();
        if book.entries.len() >= limits::APPROVALS_MAX || of_agent >= limits::APPROVALS_OF_AGENT_MAX
        {
            return Err(TooMany);
        }
        book.last += 1;
        let id = QuestionId(book.last);
        let (standing, receiver) = watch::channel(Standing::Open);
        let gone_at = Instant::now() + expire;
        book.entries.insert(id, Entry { question, may, gone_at, standing });
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

    /// One of them.
    #[must_use]
    pub fn find(&self, id: QuestionId) -> Option<Question> {
        self.book().entries.get(&id).map(|entry| entry.question.clone())
    }

    /// What an answer of this person would be about.
    ///
    /// # Errors
    /// See [`NotTaken`].
    pub fn may_answer(
        &self,
        id: QuestionId,
        person: &Person,
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
            let by = open().filter_map(|name| entry.may.get(name)).flatten().map(show);
            return Err(NotTaken::NotYours {
                user: person.user.clone(),
                needs: needs.join(", "),
                by: by.collect::<Vec<_>>().join(", "),
            });
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
        let (_, theirs) = self.may_answer(id, person)?;
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

fn show(approver: &Approver) -> String {
    match approver {
        Approver::User(name) => format!("user:{name}"),
        Approver::Group(name) => format!("group:{name}"),
    }
}

#[cfg(test)]
mod tests;
