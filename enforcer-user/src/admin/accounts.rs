// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Budgets with what is used, reserved and left, and for whom they are counted.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_core::budget::{Account, Amount, Count};
use enforcer_core::model::BudgetName;
use enforcer_core::policy::{Budget, Policy};

use super::{AccountStatus, Bounded};

/// All counters, and the budgets of which nothing is counted yet, by name.
pub(super) fn accounts(policy: &Policy, counts: &[(Account, Count)]) -> Vec<AccountStatus> {
    let budgets: BTreeMap<&str, &Budget> =
        policy.budgets().map(|(name, budget)| (name.as_str(), budget)).collect();
    let counted = |(account, count): &(Account, Count)| {
        let (budget, per, who) = account.parts();
        // A counter of a budget that is counted for something else now is none of it.
        let limit = budgets.get(budget).filter(|found| found.per.as_str() == per);
        let limit = limit.map(|found| limit_of(found)).unwrap_or_default();
        let taken = (count.used, count.reserved);
        AccountStatus {
            account: Some(account.as_str().to_owned()),
            budget: budget.to_owned(),
            per: per.to_owned(),
            who: (!who.is_empty()).then(|| who.to_owned()),
            user: None,
            limit,
            used: count.used,
            reserved: count.reserved,
            left: left(limit, taken),
            until: Some(count.until),
        }
    };
    let mut all: Vec<AccountStatus> = counts.iter().map(counted).collect();
    let begun: BTreeSet<(String, String)> =
        all.iter().map(|found| (found.budget.clone(), found.per.clone())).collect();
    let is_unused = |(name, budget): &(&BudgetName, &Budget)| {
        !begun.contains(&(name.to_string(), budget.per.as_str().to_owned()))
    };
    all.extend(policy.budgets().filter(is_unused).map(|(name, budget)| unused(name, budget)));
    all.sort_by(|one, other| (&one.budget, &one.account).cmp(&(&other.budget, &other.account)));
    all
}

fn unused(name: &BudgetName, budget: &Budget) -> AccountStatus {
    let limit = limit_of(budget);
    AccountStatus {
        account: None,
        budget: name.to_string(),
        per: budget.per.as_str().to_owned(),
        who: None,
        user: None,
        limit,
        used: Amount::default(),
        reserved: Amount::default(),
        left: limit,
        until: None,
    }
}

const fn limit_of(budget: &Budget) -> Bounded {
    Bounded { tokens: budget.tokens, requests: budget.requests }
}

fn left(limit: Bounded, (used, reserved): (Amount, Amount)) -> Bounded {
    let rest = |limit: Option<u64>, used: u64, reserved: u64| {
        limit.map(|limit| limit.saturating_sub(used).saturating_sub(reserved))
    };
    Bounded {
        tokens: rest(limit.tokens, used.tokens, reserved.tokens),
        requests: rest(limit.requests, used.requests, reserved.requests),
    }
}

#[cfg(test)]
mod tests {
    use enforcer_core::model::{AgentName, EndpointName, UnixMillis};
    use enforcer_core::policy::{Per, SourceFile, Sources, compile};

    use super::*;

    const INVENTORY: &str = r#"
version = 1
mode = "enforce"
[agents.a]
[endpoints.e]
hosts = ["e.example"]
protocol = "openai"
[budgets.calls]
per = "agent"
requests = 10
window = "1d"
[budgets.words]
per = "user"
tokens = 1000
requests = 5
window = "1d"
"#;

    fn policy() -> Policy {
        let file =
            |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let rule = "@id(\"r\") @budget(\"calls, words\")\n\
                    permit (principal, action == Action::\"chat\", resource);";
        let files = vec![file("policy.toml", INVENTORY), file("a.cedar", rule)];
        compile(&Sources { files }).unwrap().policy
    }

    fn account(budget: &str, per: Per) -> Account {
        let (agent, endpoint) = (AgentName::new("a"), EndpointName::new("e"));
        Account::of(&BudgetName::new(budget), per, &agent, 7, &endpoint)
    }

    fn count(tokens: u64, reserved: u64) -> Count {
        let used = Amount { tokens, requests: 4 };
        let reserved = Amount { tokens: reserved, requests: 1 };
        Count { since: UnixMillis(0), until: UnixMillis(9), used, reserved }
    }

    #[test]
    fn a_budget_of_which_nothing_is_counted_still_shows_with_its_limit() {
        let all = accounts(&policy(), &[]);
        let shown: Vec<_> = all.iter().map(|it| (it.budget.as_str(), it.per.as_str())).collect();
        assert_eq!(shown, [("calls", "agent"), ("words", "user")]);
        let words = &all[1];
        assert_eq!((words.limit, &words.account), (words.left, &None));
        assert_eq!(words.limit, Bounded { tokens: Some(1000), requests: Some(5) });
    }

    #[test]
    fn what_is_left_is_neither_used_nor_reserved() {
        let all = accounts(&policy(), &[(account("words", Per::User), count(700, 200))]);
        let words = &all[1];
        assert_eq!(words.account.as_deref(), Some("words/user:7"));
        assert_eq!(words.who.as_deref(), Some("7"));
        assert_eq!(words.left, Bounded { tokens: Some(100), requests: Some(0) });
        let beyond = accounts(&policy(), &[(account("words", Per::User), count(1200, 0))]);
        assert_eq!(beyond[1].left.tokens, Some(0));
    }

    #[test]
    fn a_budget_near_its_end_is_one_of_which_four_fifths_are_used() {
        let near = |tokens| {
            let counts = [(account("words", Per::Host), count(tokens, 0))];
            let of_other = accounts(&policy(), &counts)[1].is_near_end();
            let counts = [(
                account("words", Per::User),
                Count { used: Amount { tokens, requests: 0 }, ..count(0, 900) },
            )];
            (of_other, accounts(&policy(), &counts)[1].is_near_end())
        };
        assert_eq!((near(799), near(800)), ((false, false), (false, true)));
    }
}
