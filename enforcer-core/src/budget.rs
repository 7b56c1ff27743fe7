// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Budgets as arithmetic: what is used and reserved in which window. `now` is an argument.
//!
//! An exchange reserves what it may cost before it is sent, and settles for what it did cost ([`Outcome::charge`]).
//! What is reserved counts as used, so that exchanges at the same time cannot spend the same room twice. A request
//! that names no bound of its answer reserves what the budget says for such a one: it is sent if only a part of
//! that has room, and then nothing else is until it is over. So what providers generate exceeds a budget by no more
//! than one exchange may answer. The reservation of a streamed answer grows with it. Errs to more: what is settled
//! may be more than was reserved, and then what is left of the window is spent.

mod amount;
mod charge;
mod cost;

#[cfg(test)]
mod adversary;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{AgentName, BudgetName, EndpointName, UnixMillis};
use crate::policy::{Budget, Per};

pub use amount::Amount;
pub use charge::{End, Outcome};
pub use cost::{Answer, Cost};

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

    /// The budget, what it is counted for (a word of [`Per`]), and for whom; whom is empty for the host.
    #[must_use]
    pub fn parts(&self) -> (&str, &str, &str) {
        let (budget, rest) = self.0.split_once('/').unwrap_or((&self.0, ""));
        let (per, who) = rest.split_once(':').unwrap_or((rest, ""));
        (budget, per, who)
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
    /// Reserved by exchanges that are under way. With what was used it may be more than the budget, by what the
    /// last one reserved that names no bound of its answer.
    #[serde(skip)]
    pub reserved: Amount,
}

impl Count {
    fn spent(&self, account: &Account, budget: &Budget, needs: Amount, is_reserved: bool) -> Spent {
        let Budget { tokens, requests, .. } = *budget;
        let Self { until, used, reserved, .. } = *self;
        let account = account.clone();
        Spent { account, until, is_reserved, tokens, requests, used, reserved, needs }
    }
}

/// A reservation: given back by [`Ledger::settle`], once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    account: Account,
    since: UnixMillis,
    cost: Cost,
    /// Tokens reserved for the answer.
    answer: u64,
    /// Those of them that the budget has room for.
    covered: u64,
    /// Tokens of the answer that were charged to the window that followed.
    later: u64,
}

impl Reserved {
    const fn amount(&self) -> Amount {
        Amount {
            tokens: self.cost.request.saturating_add(self.answer),
            requests: self.cost.requests,
        }
    }
}

/// A budget has no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Which counter.
    pub account: Account,
    /// When its next window begins.
    pub until: UnixMillis,
    /// True if it would have room but for what other exchanges under way reserve.
    pub is_reserved: bool,
    /// Tokens that the budget allows in a window, if it counts them.
    pub tokens: Option<u64>,
    /// Requests that it allows in a window, if it counts them.
    pub requests: Option<u64>,
    /// What was used in this window.
    pub used: Amount,
    /// What exchanges under way have reserved.
    pub reserved: Amount,
    /// What the refused one needs at least.
    pub needs: Amount,
}

impl Spent {
    /// Name of the budget.
    #[must_use]
    pub fn budget(&self) -> &str {
        self.account.parts().0
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
    /// Reserves what an exchange may cost, and its requests.
    ///
    /// A window that began never begins again: if the clock is set back, the counter goes on in the later one.
    ///
    /// # Errors
    /// The budget has no room for it; nothing is reserved then. An answer without a bound needs room for one token.
    pub fn reserve(
        &mut self,
        account: &Account,
        budget: &Budget,
        cost: Cost,
        now: UnixMillis,
    ) -> Result<Reserved, Spent> {
        let (since, until) = window(now, budget.window);
        let count = self.counts.entry(account.clone()).or_default();
        if since > count.since || count.until.0 == 0 {
            *count = Count { since, until, ..Count::default() };
        }
        // The window may be another one than when the counter began: a bundle changed its length.
        let answer = cost.answer.reserves(budget);
        let room_beside = |taken: Amount| {
            let before = taken.plus(Amount { tokens: cost.request, requests: cost.requests });
            let room = match budget.tokens {
                Some(most) => most.checked_sub(before.tokens),
                None => Some(answer),
            };
            let has_requests = budget.requests.is_none_or(|most| before.requests <= most);
            room.filter(|room| has_requests && *room >= cost.answer.needs(answer))
        };
        let Some(room) = room_beside(count.used.plus(count.reserved)) else {
            let is_reserved = room_beside(count.used).is_some();
            let tokens = cost.request.saturating_add(cost.answer.needs(answer));
            let needs = Amount { tokens, requests: cost.requests };
            return Err(count.spent(account, budget, needs, is_reserved));
        };
        let (account, since, covered) = (account.clone(), count.since, answer.min(room));
        let later = 0;
        let reserved = Reserved { account, since, cost, answer, covered, later };
        count.reserved = count.reserved.plus(reserved.amount());
        Ok(reserved)
    }

    /// Reserves for an answer that is known to have this many tokens by now. What passes after the window is over
    /// is charged to the one that follows.
    ///
    /// # Errors
    /// The budget has no room for them; nothing is added then.
    pub fn cover(
        &mut self,
        reserved: &mut Reserved,
        budget: &Budget,
        answer: u64,
    ) -> Result<(), Spent> {
        let more = answer.saturating_sub(reserved.covered);
        if more == 0 || reserved.cost.answer == Answer::Nothing {
            return Ok(());
        }
        let Some(count) = self.counts.get_mut(&reserved.account) else { return Ok(()) };
        let is_over = count.since != reserved.since;
        // What it reserved beyond the room of its budget is its own to use, as far as room came back meanwhile.
        let beyond = if is_over { 0 } else { reserved.answer.saturating_sub(reserved.covered) };
        let others = count.used.plus(count.reserved).tokens.saturating_sub(beyond);
        if budget.tokens.is_some_and(|most| others.saturating_add(more) > most) {
            let own = if is_over { 0 } else { reserved.amount().tokens };
            let alone = count.used.tokens.saturating_add(own).saturating_sub(beyond);
            let is_reserved = budget.tokens.is_some_and(|most| alone.saturating_add(more) <= most);
            let needs = Amount { tokens: more, requests: 0 };
            return Err(count.spent(&reserved.account, budget, needs, is_reserved));
        }
        if is_over {
            count.used = count.used.plus(Amount { tokens: more, requests: 0 });
            reserved.later = reserved.later.saturating_add(more);
        } else {
            let grown = Amount { tokens: more.saturating_sub(beyond), requests: 0 };
            count.reserved = count.reserved.plus(grown);
            reserved.answer = reserved.answer.saturating_add(grown.tokens);
        }
        reserved.covered = answer;
        Ok(())
    }

    /// Ends a reservation, charges what the exchange did cost, and says what that was; nothing for one that was not
    /// sent. What was reserved in a window that is over is charged to that one, which is gone.
    pub fn settle(&mut self, reserved: Reserved, outcome: &Outcome) -> Option<(Account, Amount)> {
        let used = outcome.charge(reserved.cost, reserved.answer);
        let count = self.counts.get_mut(&reserved.account);
        if let Some(count) = count.filter(|count| count.since == reserved.since) {
            count.reserved = count.reserved.minus(reserved.amount());
            count.used = count.used.plus(used.unwrap_or_default());
        }
        let later = Amount { tokens: reserved.later, requests: 0 };
        used.map(|used| (reserved.account, used.plus(later)))
    }

    /// Ends a reservation of a request that is not sent.
    pub fn give_back(&mut self, reserved: Reserved) {
        drop(self.settle(reserved, &Outcome::UNSENT));
    }

    /// What is settled of a counter; none if there is no such counter.
    #[must_use]
    pub fn used(&self, account: &str) -> Option<Amount> {
        let found = self.counts.iter().find(|(name, _)| name.as_str() == account);
        found.map(|(_, count)| count.used)
    }

    /// Takes back from a counter what it had when somebody looked: what was charged since stays.
    pub fn reset(&mut self, account: &str, had: Amount) {
        let found = self.counts.iter_mut().find(|(name, _)| name.as_str() == account);
        if let Some((_, count)) = found {
            count.used = count.used.minus(had);
        }
    }

    /// All counters whose window is not over.
    pub fn counts(&self, now: UnixMillis) -> impl Iterator<Item = (&Account, &Count)> {
        self.counts.iter().filter(move |(_, count)| count.until > now)
    }

    /// Forgets counters whose window is over and in which nothing is under way.
    pub fn prune(&mut self, now: UnixMillis) {
        self.counts.retain(|_, count| count.until > now || count.reserved != Amount::default());
    }
}
