// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is owed before a request goes upstream, in the order in which it is done: budgets are reserved,
//! credentials are fetched, the request is masked. What cannot be done refuses, and gives back what was done.

use std::sync::Arc;

use enforcer_core::budget::{Account, Cost, Spent};
use enforcer_core::mask::Masker;
use enforcer_core::model::{DenyReason, Facts, Obligations};
use enforcer_core::policy::{Budget, Policy};
use enforcer_core::record::{Cause, Recorded, Shortage};

use super::content::Content;
use super::credential::{self, Credentials};
use super::refusal::Refusal;
use super::{Conn, Enforcer, mask};
use crate::budget::Reservation;
use crate::runtime;

/// What was done.
pub(super) struct Before {
    pub(super) reservation: Unsent,
    pub(super) credentials: Credentials,
}

/// What is reserved for a request that was not handed on yet. Dropped, also because the agent left, it is given back:
/// no byte of that request can be out.
#[derive(Debug)]
pub(super) struct Unsent(Option<Reservation>);

impl Unsent {
    /// From here on a byte may go out, and the record settles it.
    pub(super) fn hand_on(mut self) -> Option<Reservation> {
        self.0.take()
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if let Some(reservation) = self.0.take() {
            reservation.give_back();
        }
    }
}

/// Does it.
pub(super) async fn before(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Arc<Policy>,
    owed: &Obligations,
    facts: &Facts,
    content: &mut Content,
) -> Result<Before, Refusal> {
    let reservation = Unsent(reserve(cx, conn, policy, owed, facts)?);
    let credentials = credential::fetch(policy, &owed.credentials).await?;
    mask::request(content, policy, owed).await?;
    Ok(Before { reservation, credentials })
}

fn reserve(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Policy,
    owed: &Obligations,
    facts: &Facts,
) -> Result<Option<Reservation>, Refusal> {
    if owed.budgets.is_empty() {
        return Ok(None);
    }
    let account = |name, budget: &Budget| {
        let uid = conn.origin.process.uid;
        Account::of(name, budget.per, &facts.agent, uid, &facts.endpoint)
    };
    let mut charged = Vec::new();
    for name in &owed.budgets {
        // A bundle with such an obligation is refused when it is checked.
        let budget = policy.budget(name).ok_or_else(|| Refusal::from(DenyReason::Internal))?;
        charged.push((account(name, budget), budget));
    }
    match cx.budgets.reserve(charged, Cost::of(facts), cx.clock.now()) {
        Ok(reservation) => Ok(Some(reservation)),
        Err(spent) => Err(no_room(&spent, &policy.masker_of_everything())),
    }
}

/// What is said where a budget has no room.
pub(super) fn no_room(spent: &Spent, masker: &Masker) -> Refusal {
    let message = sentence(spent);
    let Spent { account, until, is_reserved: _, tokens, requests, used, reserved, needs } = spent;
    let shortage = Shortage {
        account: Recorded::of(account.as_str(), masker),
        tokens: *tokens,
        requests: *requests,
        used: *used,
        reserved: *reserved,
        needs: *needs,
        until: *until,
    };
    Refusal::of(DenyReason::BudgetSpent, Cause::Budget(Box::new(shortage))).message(message)
}

/// Why there is no room, for the agent: what would help, and when.
fn sentence(spent: &Spent) -> String {
    let (budget, until) = (spent.budget(), runtime::moment(spent.until));
    let needed = spent.needs.tokens;
    let left = spent.tokens.map_or(0, |most| most.saturating_sub(spent.used.tokens));
    match spent.tokens {
        Some(most) if needed > most => format!(
            "the request needs {needed} tokens of budget `{budget}`, which has {most} in a whole window: \
             name a smaller bound of the answer (`max_tokens`), or send less"
        ),
        _ if spent.is_reserved => format!(
            "what is left of budget `{budget}` is reserved by requests under way; send it again when some of \
             them are over. The budget starts again at {until} UTC"
        ),
        Some(most) if spent.needs.requests > 0 && left > 0 && needed > left => format!(
            "the request needs {needed} tokens of budget `{budget}`, which has {left} of {most} left; \
             it starts again at {until} UTC"
        ),
        _ => format!("budget `{budget}` is spent; it starts again at {until} UTC"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use enforcer_core::budget::Answer;
    use enforcer_core::model::{AgentName, BudgetName, EndpointName, UnixMillis};
    use enforcer_core::policy::Per;

    use super::*;
    use crate::budget::Budgets;

    #[test]
    fn what_was_reserved_for_a_request_that_was_not_handed_on_is_given_back() {
        let budgets = Budgets::default();
        let window = Duration::from_secs(86_400);
        let (tokens, requests) = (Some(100), None);
        let budget = Budget { per: Per::Agent, tokens, requests, answer_tokens: 10, window };
        let (agent, endpoint) = (AgentName::new("a"), EndpointName::new("e"));
        let account = Account::of(&BudgetName::new("b"), Per::Agent, &agent, 0, &endpoint);
        let all = Cost { requests: 1, request: 100, answer: Answer::Nothing };
        let reserve = || budgets.reserve([(account.clone(), &budget)], all, UnixMillis(1));
        drop(Unsent(Some(reserve().unwrap())));
        let handed_on = Unsent(Some(reserve().unwrap())).hand_on();
        assert!(reserve().is_err(), "it counts while it is under way");
        drop(handed_on);
        assert!(reserve().is_err(), "nobody knows whether it was sent");
    }
}
