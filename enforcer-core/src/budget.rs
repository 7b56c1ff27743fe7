// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Budgets as arithmetic: what is used and reserved in which window. `now` is an argument.
//!
//! An exchange reserves what it may cost before it is sent, and settles for what it did cost. What is reserved
//! counts as used, so that exchanges at the same time cannot spend the same room twice. Nobody knows the length of
//! an answer before: a reservation grows with a streamed one. Errs to more: what is settled may be more than was
//! reserved, and then what is left of the window is spent.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{AgentName, BudgetName, EndpointName, UnixMillis};
use crate::policy::{Budget, Per};

/// One counter: a budget, and for whom it is counted. Written as `NAME/KIND:WHO`, which no name can hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Account(String);

impl Account {
    /// The counter that an exchange is charged to.
    #[must_use]
    pub fn of(
        name: &BudgetName,
        per: Per,
        agent: &AgentName,
        uid: u32,
        endpoint: &EndpointName,
    ) -> Self {
        let who = match per {
            Per::Agent => agent.to_string(),
            Per::User => uid.to_string(),
            Per::Endpoint => endpoint.to_string(),
            Per::Host => String::new(),
        };
        Self(format!("{name}/{}:{who}", per.as_str()))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Tokens and requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Tokens.
    pub tokens: u64,
    /// Requests.
    pub requests: u64,
}

impl Amount {
    const fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            requests: self.requests.saturating_add(other.requests),
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            requests: self.requests.saturating_sub(other.requests),
        }
    }
}

/// What a counter holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Beginning of the window.
    pub since: UnixMillis,
    /// End of the window.
    pub until: UnixMillis,
    /// Settled in it.
    pub used: Amount,
    /// Reserved by exchanges that are under way.
    #[serde(skip)]
    pub reserved: Amount,
}

/// A reservation: given back by [`Ledger::settle`], once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    account: Account,
    since: UnixMillis,
    amount: Amount,
}

/// A budget has no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Which counter.
    pub account: Account,
    /// When its next window begins.
    pub until: UnixMillis,
}

impl Spent {
    /// Name of the budget.
    #[must_use]
    pub fn budget(&self) -> &str {
        self.account.as_str().split('/').next().unwrap_or_default()
    }
}

/// All counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    counts: BTreeMap<Account, Count>,
}

/// The window that a moment is in: whole multiples of its length since the Unix epoch.
const fn window(now: UnixMillis, length: Duration) -> (UnixMillis, UnixMillis) {
    let seconds = length.as_secs();
    let length = seconds.saturating_mul(1000);
    // A length of nothing is not a budget; it is refused when a bundle is checked.
    let since = match now.0.checked_div(length) {
        Some(number) => number * length,
        None => now.0,
    };
    (UnixMillis(since), UnixMillis(since.saturating_add(length)))
}

impl Ledger {
    /// Reserves an amount and one request.
    ///
    /// A window that began never begins again: if the clock is set back, the counter goes on in the later one.
    ///
    /// # Errors
    /// The budget has no room for it; nothing is reserved then.
    pub fn reserve(
        &mut self,
        account: &Account,
        budget: &Budget,
        tokens: u64,
        now: UnixMillis,
    ) -> Result<Reserved, Spent> {
        let (since, until) = window(now, budget.window);
        let count = self.counts.entry(account.clone()).or_default();
        if since > count.since || count.until.0 == 0 {
            *count = Count { since, until, ..Count::default() };
        }
        // The window may be another one than when the counter began: a bundle changed its length.
        let amount = Amount { tokens, requests: 1 };
        let after = count.used.plus(count.reserved).plus(amount);
        let has_room = budget.tokens.is_none_or(|most| after.tokens <= most)
            && budget.requests.is_none_or(|most| after.requests <= most);
        if !has_room {
            return Err(Spent { account: account.clone(), until: count.until });
        }
        count.reserved = count.reserved.plus(amount);
        Ok(Reserved { account: account.clone(), since: count.since, amount })
    }

    /// Adds tokens to a reservation. One of a window that is over is charged to that one, which is gone.
    ///
    /// # Errors
    /// The budget has no room for them; nothing is added then.
    pub fn grow(
        &mut self,
        reserved: &mut Reserved,
        budget: &Budget,
        tokens: u64,
    ) -> Result<(), Spent> {
        let Some(count) = self.counts.get_mut(&reserved.account) else { return Ok(()) };
        if count.since != reserved.since {
            return Ok(());
        }
        let more = Amount { tokens, requests: 0 };
        let after = count.used.plus(count.reserved).plus(more);
        if budget.tokens.is_some_and(|most| after.tokens > most) {
            return Err(Spent { account: reserved.account.clone(), until: count.until });
        }
        count.reserved = count.reserved.plus(more);
        reserved.amount = reserved.amount.plus(more);
        Ok(())
    }

    /// Ends a reservation; `used` is what it did cost, and nothing if it never was sent. What was reserved in a
    /// window that is over is charged to that one, which is gone.
    pub fn settle(&mut self, reserved: Reserved, used: Option<Amount>) {
        let Some(count) = self.counts.get_mut(&reserved.account) else { return };
        if count.since != reserved.since {
            return;
        }
        count.reserved = count.reserved.minus(reserved.amount);
        if let Some(used) = used {
            count.used = count.used.plus(used);
        }
    }

    /// Starts a counter anew; false if there is none.
    pub fn reset(&mut self, account: &str) -> bool {
        let found = self.counts.iter_mut().find(|(name, _)| name.as_str() == account);
        found.map(|(_, count)| count.used = Amount::default()).is_some()
    }

    /// All counters whose window is not over.
    pub fn counts(&self, now: UnixMillis) -> impl Iterator<Item = (&Account, &Count)> {
        self.counts.iter().filter(move |(_, count)| count.until > now)
    }

    /// Forgets counters whose window is over.
    pub fn prune(&mut self, now: UnixMillis) {
        self.counts.retain(|_, count| count.until > now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, proptest};

    use super::*;

    const DAY: u64 = 86_400_000;

    fn budget(tokens: u64) -> Budget {
        let window = Duration::from_millis(DAY);
        Budget { per: Per::Agent, tokens: Some(tokens), requests: None, window }
    }

    fn account() -> Account {
        let (agent, endpoint) = (AgentName::new("a"), EndpointName::new("e"));
        Account::of(&BudgetName::new("daily"), Per::Agent, &agent, 0, &endpoint)
    }

    #[test]
    fn what_is_reserved_cannot_be_reserved_again_and_comes_back_if_it_is_not_used() {
        let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
        let now = UnixMillis(5);
        let first = ledger.reserve(&account, &budget, 60, now).unwrap();
        let spent = ledger.reserve(&account, &budget, 41, now).unwrap_err();
        assert_eq!(spent.until, UnixMillis(DAY));
        assert_eq!(account.as_str(), "daily/agent:a");
        ledger.settle(first, None);
        let second = ledger.reserve(&account, &budget, 100, now).unwrap();
        ledger.settle(second, Some(Amount { tokens: 30, requests: 1 }));
        assert!(ledger.reserve(&account, &budget, 71, now).is_err());
        assert!(ledger.reserve(&account, &budget, 70, now).is_ok());
    }

    #[test]
    fn a_reservation_grows_as_long_as_there_is_room_and_all_of_it_comes_back() {
        let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
        let mut reserved = ledger.reserve(&account, &budget, 60, UnixMillis(0)).unwrap();
        ledger.grow(&mut reserved, &budget, 40).unwrap();
        let spent = ledger.grow(&mut reserved, &budget, 1).unwrap_err();
        assert_eq!((spent.budget(), spent.until), ("daily", UnixMillis(DAY)));
        assert!(ledger.reserve(&account, &budget, 1, UnixMillis(0)).is_err());
        ledger.settle(reserved, None);
        let mut yesterday = ledger.reserve(&account, &budget, 100, UnixMillis(0)).unwrap();
        let today = ledger.reserve(&account, &budget, 100, UnixMillis(DAY)).unwrap();
        assert_eq!(ledger.grow(&mut yesterday, &budget, 1), Ok(()), "of a window that is over");
        ledger.settle(yesterday, None);
        assert!(ledger.reserve(&account, &budget, 1, UnixMillis(DAY)).is_err());
        ledger.settle(today, None);
        assert!(ledger.reserve(&account, &budget, 100, UnixMillis(DAY)).is_ok());
    }

    #[test]
    fn a_new_window_begins_empty_and_an_old_one_never_comes_back() {
        let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
        let yesterday = ledger.reserve(&account, &budget, 100, UnixMillis(5)).unwrap();
        let today = ledger.reserve(&account, &budget, 100, UnixMillis(DAY)).unwrap();
        ledger.settle(yesterday, Some(Amount { tokens: 100, requests: 1 }));
        ledger.settle(today, Some(Amount { tokens: 100, requests: 1 }));
        // The clock is set back into a window that is over.
        assert!(ledger.reserve(&account, &budget, 1, UnixMillis(5)).is_err());
        assert!(ledger.reserve(&account, &budget, 1, UnixMillis(2 * DAY)).is_ok());
    }

    #[test]
    fn requests_are_counted_beside_tokens() {
        let (mut ledger, account) = (Ledger::default(), account());
        let budget = Budget { tokens: None, requests: Some(2), ..budget(0) };
        for _ in 0..2 {
            let reserved = ledger.reserve(&account, &budget, 1_000_000, UnixMillis(0)).unwrap();
            ledger.settle(reserved, Some(Amount { tokens: 7, requests: 1 }));
        }
        assert!(ledger.reserve(&account, &budget, 0, UnixMillis(0)).is_err());
        assert!(ledger.reset(account.as_str()) && !ledger.reset("daily/agent:b"));
        assert!(ledger.reserve(&account, &budget, 0, UnixMillis(0)).is_ok());
    }

    #[test]
    fn what_is_written_down_is_what_was_used() {
        let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
        let settled = ledger.reserve(&account, &budget, 10, UnixMillis(0)).unwrap();
        ledger.settle(settled, Some(Amount { tokens: 10, requests: 1 }));
        let _under_way = ledger.reserve(&account, &budget, 50, UnixMillis(0)).unwrap();
        let written = serde_json::to_string(&ledger).unwrap();
        let mut read: Ledger = serde_json::from_str(&written).unwrap();
        assert!(read.reserve(&account, &budget, 91, UnixMillis(0)).is_err());
        assert!(read.reserve(&account, &budget, 90, UnixMillis(0)).is_ok());
        read.prune(UnixMillis(DAY));
        assert_eq!(read, Ledger::default());
    }

    /// Time that passes, what is reserved, and what that costs if it is sent.
    fn steps() -> impl Strategy<Value = Vec<(u64, u64, Option<u64>, bool)>> {
        let step = (0..DAY / 2, 0..60_u64, proptest::option::of(0..60_u64), any::<bool>());
        proptest::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn no_more_than_the_budget_is_reserved_and_nothing_gets_lost(steps in steps()) {
            let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
            let mut now = UnixMillis(0);
            let mut open = Vec::new();
            for (passes, tokens, cost, settles) in steps {
                now = UnixMillis(now.0 + passes);
                if let Ok(reserved) = ledger.reserve(&account, &budget, tokens, now) {
                    let count = ledger.counts[&account];
                    assert!(count.used.tokens + count.reserved.tokens <= 100);
                    open.push((reserved, cost));
                }
                if settles && let Some((reserved, cost)) = open.pop() {
                    let cost = cost.map(|tokens| Amount { tokens, requests: 1 });
                    ledger.settle(reserved, cost);
                }
            }
            for (reserved, _) in open {
                ledger.settle(reserved, None);
            }
            if let Some(count) = ledger.counts.get(&account) {
                assert_eq!(count.reserved, Amount::default());
            }
        }
    }
}
