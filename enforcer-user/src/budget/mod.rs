// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Budgets of this host: reserved before an exchange is sent, settled when it is over, kept on disk.
//!
//! The arithmetic is the core's. What was settled is written down within [`limits::BUDGET_SAVE_INTERVAL`]; a
//! daemon that is killed loses the charges of that time and no more. A file that cannot be read keeps the daemon
//! from starting: counters that start again at 0 would give away what was spent.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enforcer_core::budget::{Account, Amount, Cost, Count, End, Ledger, Outcome, Reserved, Spent};
use enforcer_core::model::{UnixMillis, limits};
use enforcer_core::policy::Budget;
use tokio::sync::Notify;

use crate::runtime;

/// What is wrong with the file of the counters.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk.
    #[error("failed to {operation} `{path}`")]
    Disk {
        /// What was done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is no file of counters.
    #[error(
        "`{path}` holds no counters of budgets: {reason}; put a copy back, or remove it to start again at 0"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// All counters of this host. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Budgets(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    /// None: counters live as long as the process.
    file: Option<PathBuf>,
    changed: Notify,
}

/// What an exchange reserved; dropped without [`Self::settle`], all of it counts as used.
#[derive(Debug)]
pub struct Reservation {
    budgets: Budgets,
    reserved: Vec<(Reserved, Budget)>,
}

impl Budgets {
    /// Reads the counters of an earlier run, if there are any.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let ledger = match File::open(path) {
            Ok(file) => read(file, path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ledger::default(),
            Err(source) => return Err(failed("open", path)(source)),
        };
        let (file, ledger) = (Some(path.to_owned()), Mutex::new(ledger));
        Ok(Self(Arc::new(Shared { ledger, file, changed: Notify::new() })))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves in all of these, or in none.
    ///
    /// # Errors
    /// The first one that has no room.
    pub fn reserve<'b>(
        &self,
        budgets: impl IntoIterator<Item = (Account, &'b Budget)>,
        cost: Cost,
        now: UnixMillis,
    ) -> Result<Reservation, Spent> {
        let mut reservation = Reservation { budgets: self.clone(), reserved: Vec::new() };
        let mut ledger = self.ledger();
        for (account, budget) in budgets {
            match ledger.reserve(&account, budget, cost, now) {
                Ok(reserved) => reservation.reserved.push((reserved, *budget)),
                Err(spent) => {
                    for (reserved, _) in std::mem::take(&mut reservation.reserved) {
                        ledger.give_back(reserved);
                    }
                    return Err(spent);
                }
            }
        }
        Ok(reservation)
    }

    /// The counters whose window is not over, by account.
    #[must_use]
    pub fn counts(&self, now: UnixMillis) -> Vec<(Account, Count)> {
        self.ledger().counts(now).map(|(account, count)| (account.clone(), *count)).collect()
    }

    /// What is settled of a counter; none if there is none of this name.
    #[must_use]
    pub fn used(&self, account: &str) -> Option<Amount> {
        self.ledger().used(account)
    }

    /// Takes back from a counter what it had when somebody looked: what was charged since stays.
    pub fn reset(&self, account: &str, had: Amount) {
        self.ledger().reset(account, had);
        self.0.changed.notify_one();
    }

    /// Writes the counters down whenever they changed; tells how each try went.
    pub async fn keep(
        self,
        clock: impl Fn() -> UnixMillis + Send,
        told: impl Fn(Result<(), Error>),
    ) {
        loop {
            self.0.changed.notified().await;
            tokio::time::sleep(limits::BUDGET_SAVE_INTERVAL).await;
            self.ledger().prune(clock());
            let budgets = self.clone();
            match tokio::task::spawn_blocking(move || budgets.save()).await {
                Ok(saved) => told(saved),
                Err(error) => tracing::error!(%error, "the counters of budgets were not written"),
            }
        }
    }

    /// Writes the counters down, so that a reader sees the old or the new ones and never a part.
    ///
    /// # Errors
    /// The disk.
    pub fn save(&self) -> Result<(), Error> {
        let Some(path) = &self.0.file else { return Ok(()) };
        let text = serde_json::to_vec(&*self.ledger());
        let text = text.map_err(|error| failed("write", path)(error.into()))?;
        runtime::replace(path, &text).map_err(failed("replace", path))
    }
}

impl Reservation {
    /// Ends it, charges what the exchange did cost, and says what that was, by counter.
    #[must_use]
    pub fn settle(mut self, outcome: &Outcome) -> Vec<(Account, Amount)> {
        self.end(outcome)
    }

    /// Ends it for a request that is not sent.
    pub fn give_back(mut self) {
        drop(self.end(&Outcome::UNSENT));
    }

    /// Reserves for an answer that is known to have this many tokens by now.
    ///
    /// # Errors
    /// The first budget that has no room for it.
    pub fn cover(&mut self, answer: u64) -> Result<(), Spent> {
        let mut ledger = self.budgets.ledger();
        // What grew before one has no room ends with the rest: the answer is cut.
        self.reserved
            .iter_mut()
            .try_for_each(|(reserved, budget)| ledger.cover(reserved, budget, answer))
    }

    fn end(&mut self, outcome: &Outcome) -> Vec<(Account, Amount)> {
        if self.reserved.is_empty() {
            return Vec::new();
        }
        let mut ledger = self.budgets.ledger();
        let ended = self.reserved.drain(..);
        let charged = ended.filter_map(|(reserved, _)| ledger.settle(reserved, outcome)).collect();
        drop(ledger);
        self.budgets.0.changed.notify_one();
        charged
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        drop(self.end(&Outcome { end: End::Broken, ..Outcome::UNSENT }));
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { operation, path, source }
}

fn read(file: File, path: &Path) -> Result<Ledger, Error> {
    let mut bytes = Vec::new();
    let read = file.take(limits::BUDGET_FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(failed("read", path))?;
    let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };
    if bytes.len() as u64 > limits::BUDGET_FILE_BYTES_MAX {
        return Err(damaged("it is too large".to_owned()));
    }
    serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use enforcer_core::model::{AgentName, BudgetName, EndpointName};
    use enforcer_core::policy::Per;

    use enforcer_core::budget::Answer;
    use enforcer_core::model::{Passed, Usage};

    use super::*;

    fn budget(tokens: u64) -> Budget {
        let window = Duration::from_secs(86_400);
        Budget { per: Per::Agent, tokens: Some(tokens), requests: None, answer_tokens: 50, window }
    }

    fn account(name: &str) -> Account {
        let (agent, endpoint) = (AgentName::new("a"), EndpointName::new("e"));
        Account::of(&BudgetName::new(name), Per::Agent, &agent, 0, &endpoint)
    }

    const NOW: UnixMillis = UnixMillis(1);

    const fn cost(request: u64) -> Cost {
        Cost { requests: 1, request, answer: Answer::Nothing }
    }

    const fn reported(input_tokens: u64, output_tokens: u64) -> Outcome {
        let usage = Some(Usage { input_tokens, output_tokens });
        Outcome { end: End::Whole { is_error: false }, usage, ..Outcome::UNSENT }
    }

    #[test]
    fn all_budgets_are_reserved_or_none() {
        let budgets = Budgets::default();
        let (wide, narrow) = (budget(100), budget(10));
        let both = [(account("wide"), &wide), (account("narrow"), &narrow)];
        let spent = budgets.reserve(both.clone(), cost(11), NOW).unwrap_err();
        assert_eq!(spent.account, account("narrow"));
        assert!(budgets.reserve([(account("wide"), &wide)], cost(100), NOW).is_ok(), "given back");
    }

    #[test]
    fn what_nobody_settles_counts_as_used() {
        let budgets = Budgets::default();
        let limit = budget(100);
        drop(budgets.reserve([(account("b"), &limit)], cost(60), NOW).unwrap());
        assert!(budgets.reserve([(account("b"), &limit)], cost(41), NOW).is_err());
        budgets.reserve([(account("b"), &limit)], cost(40), NOW).unwrap().give_back();
        assert!(budgets.reserve([(account("b"), &limit)], cost(40), NOW).is_ok());
    }

    #[test]
    fn an_answer_is_covered_by_all_budgets_or_it_ends() {
        let budgets = Budgets::default();
        let (wide, narrow) = (budget(100), budget(10));
        let both = [(account("wide"), &wide), (account("narrow"), &narrow)];
        let known = Cost { requests: 1, request: 2, answer: Answer::AtMost(3) };
        let mut reservation = budgets.reserve(both, known, NOW).unwrap();
        reservation.cover(3).unwrap();
        reservation.cover(8).unwrap();
        let spent = reservation.cover(9).unwrap_err();
        assert_eq!(spent.account, account("narrow"));
        let charged = reservation.settle(&reported(2, 8));
        let amount = Amount { tokens: 10, requests: 1 };
        assert_eq!(charged, [(account("wide"), amount), (account("narrow"), amount)]);
        assert!(budgets.reserve([(account("wide"), &wide)], cost(90), NOW).is_ok());
        assert!(budgets.reserve([(account("narrow"), &narrow)], cost(1), NOW).is_err());
    }

    #[test]
    fn each_budget_is_charged_for_what_it_reserved_itself() {
        let budgets = Budgets::default();
        let (much, little) = (budget(1_000), Budget { answer_tokens: 7, ..budget(1_000) });
        let both = [(account("much"), &much), (account("little"), &little)];
        let open = Cost { requests: 1, request: 2, answer: Answer::Open { choices: 3 } };
        drop(budgets.reserve(both.clone(), open, NOW).unwrap());
        let used = |number: usize| budgets.counts(NOW)[number].1.used;
        assert_eq!((used(0).tokens, used(1).tokens), (2 + 21, 2 + 150), "little, much");
        let passed = Passed { pieces: 60, text_bytes: 0 };
        let left = Outcome { end: End::Broken, passed, usage: None };
        drop(budgets.reserve(both, open, NOW).unwrap().settle(&left));
        assert_eq!((used(0).tokens, used(1).tokens), (23 + 2 + 60, 152 + 2 + 150));
    }

    #[test]
    fn counters_outlive_the_daemon_and_a_damaged_file_is_not_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("budgets.json");
        let limit = budget(100);
        let budgets = Budgets::open(&path).unwrap();
        drop(
            budgets
                .reserve([(account("b"), &limit)], cost(50), NOW)
                .unwrap()
                .settle(&reported(90, 0)),
        );
        budgets.save().unwrap();
        let again = Budgets::open(&path).unwrap();
        assert_eq!(again.counts(NOW)[0].1.used, Amount { tokens: 90, requests: 1 });
        assert!(again.reserve([(account("b"), &limit)], cost(11), NOW).is_err());
        fs::write(&path, "{").unwrap();
        assert!(matches!(Budgets::open(&path), Err(Error::Damaged { .. })));
    }
}
