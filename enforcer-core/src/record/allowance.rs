// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How much each agent may have stored. What is beyond it is counted, so that it can be told.
//!
//! Half of the bound is there at once and the other half comes back evenly over the window: whatever an agent
//! sends and when, no more than the bound is stored within any window. A daemon that starts begins anew. `now`
//! is an argument, by a clock that never steps.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{AgentName, limits};

/// How much may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowanceBounds {
    /// Bytes of one agent within a window.
    pub bytes: u64,
    /// Length of the window.
    pub window: Duration,
    /// Agents counted one by one; all others share one allowance.
    pub agents: usize,
    /// Time without bytes that were not stored after which nobody needs to be told any more.
    pub quiet: Duration,
}

impl Default for AllowanceBounds {
    fn default() -> Self {
        Self {
            bytes: limits::STORED_BYTES_OF_AGENT_MAX,
            window: limits::STORED_BYTES_WINDOW,
            agents: limits::STORED_BYTES_AGENTS_MAX,
            quiet: limits::STORED_BYTES_QUIET,
        }
    }
}

/// An agent whose allowance was spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The agent; none for those that share one allowance.
    pub agent: Option<AgentName>,
    /// Bytes that were not stored since it was spent.
    pub unstored: u64,
}

/// What every agent may still have stored.
#[derive(Debug)]
pub struct Allowances {
    bounds: AllowanceBounds,
    agents: BTreeMap<AgentName, Allowance>,
    others: Allowance,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: u64,
    at: Duration,
    /// Bytes that were not stored, and when the last of them came.
    unstored: u64,
    refused: Option<Duration>,
}

impl Allowances {
    /// Nobody has stored anything.
    #[must_use]
    pub const fn new(bounds: AllowanceBounds) -> Self {
        Self { bounds, agents: BTreeMap::new(), others: Allowance::full(&bounds) }
    }

    /// Takes these bytes out of the agent's allowance; false if they may not be stored.
    pub fn take(&mut self, agent: &AgentName, bytes: u64, now: Duration) -> bool {
        let bounds = self.bounds;
        let has_room = self.agents.len() < bounds.agents;
        let allowance = match self.agents.get_mut(agent) {
            Some(allowance) => allowance,
            None if has_room => {
                self.agents.entry(agent.clone()).or_insert_with(|| Allowance::full(&bounds))
            }
            None => &mut self.others,
        };
        allowance.take(bytes, now, &bounds)
    }

    /// The agents of which something was not stored lately, by name.
    pub fn spent(&mut self, now: Duration) -> Vec<Spent> {
        let quiet = self.bounds.quiet;
        let agents = self.agents.iter_mut().map(|(name, of)| (Some(name), of));
        let all = agents.chain(std::iter::once((None, &mut self.others)));
        let spent = all.filter_map(|(name, allowance)| {
            let unstored = allowance.unstored_lately(now, quiet)?;
            Some(Spent { agent: name.cloned(), unstored })
        });
        spent.collect()
    }
}

impl Allowance {
    const fn full(bounds: &AllowanceBounds) -> Self {
        Self { left: bounds.bytes / 2, at: Duration::ZERO, unstored: 0, refused: None }
    }

    fn take(&mut self, bytes: u64, now: Duration, bounds: &AllowanceBounds) -> bool {
        self.refill(now, bounds);
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.unstored = self.unstored.saturating_add(bytes);
                self.refused = Some(now);
                false
            }
        }
    }

    fn refill(&mut self, now: Duration, bounds: &AllowanceBounds) {
        let most = bounds.bytes / 2;
        let passed = now.saturating_sub(self.at).min(bounds.window).as_nanos();
        let whole = bounds.window.as_nanos().max(1);
        let back = u64::try_from(u128::from(most).saturating_mul(passed) / whole).unwrap_or(most);
        // Less than a byte waits until it is one.
        if back > 0 {
            self.left = self.left.saturating_add(back).min(most);
            self.at = self.at.max(now);
        }
    }

    fn unstored_lately(&mut self, now: Duration, quiet: Duration) -> Option<u64> {
        let refused = self.refused?;
        if now.saturating_sub(refused) >= quiet {
            (self.unstored, self.refused) = (0, None);
            return None;
        }
        Some(self.unstored)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: AllowanceBounds = AllowanceBounds {
        bytes: 1000,
        window: Duration::from_secs(100),
        agents: 2,
        quiet: Duration::from_secs(10),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_spent_allowance_comes_back_evenly_and_is_told_until_it_is_quiet() {
        let agent = AgentName::new("a");
        let mut allowances = Allowances::new(BOUNDS);
        assert!(allowances.take(&agent, 500, at(0)) && !allowances.take(&agent, 1, at(0)));
        assert!(!allowances.take(&agent, 51, at(10)) && allowances.take(&agent, 50, at(10)));
        let spent = |agent: Option<&AgentName>, unstored| Spent { agent: agent.cloned(), unstored };
        assert_eq!(allowances.spent(at(19)), [spent(Some(&agent), 52)]);
        assert_eq!(allowances.spent(at(20)), []);
        assert!(allowances.take(&agent, 500, at(1000)), "no more than half is there at once");
        assert!(!allowances.take(&agent, 1, at(1000)));
    }

    #[test]
    fn one_agent_spends_nothing_of_another_and_those_beyond_share() {
        let agents = ["a", "b", "c", "d"].map(AgentName::new);
        let mut allowances = Allowances::new(BOUNDS);
        assert!(allowances.take(&agents[0], 500, at(0)) && allowances.take(&agents[1], 500, at(0)));
        assert!(allowances.take(&agents[2], 500, at(0)) && !allowances.take(&agents[3], 1, at(0)));
        assert_eq!(allowances.spent(at(1)), [Spent { agent: None, unstored: 1 }]);
        assert_eq!(allowances.agents.len(), 2);
    }

    proptest! {
        #[test]
        fn no_more_than_the_bound_is_stored_in_any_window(
            takes in prop::collection::vec((0..400_u64, 0..30_000_u64), 0..200),
        ) {
            let agent = AgentName::new("a");
            let mut allowances = Allowances::new(BOUNDS);
            let mut now = Duration::ZERO;
            let mut stored: Vec<(Duration, u64)> = Vec::new();
            for (bytes, pause) in takes {
                now += Duration::from_millis(pause);
                if allowances.take(&agent, bytes, now) {
                    stored.push((now, bytes));
                }
                let recent = stored.iter().filter(|(at, _)| now - *at <= BOUNDS.window);
                prop_assert!(recent.map(|(_, bytes)| bytes).sum::<u64>() <= BOUNDS.bytes);
            }
        }
    }
}
