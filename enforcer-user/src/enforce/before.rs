// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is owed before a request goes upstream, in the order in which it is done: budgets are reserved,
//! credentials are fetched, the request is masked. What cannot be done refuses, and gives back what was done.

use std::sync::Arc;

use enforcer_core::budget::{Account, Cost, Spent};
use enforcer_core::model::{Denied, DenyReason, Facts, Obligations};
use enforcer_core::policy::{Budget, Policy};

use super::content::Content;
use super::credential::{self, Credentials};
use super::{Conn, Enforcer, mask};
use crate::budget::Reservation;

/// What was done.
pub(super) struct Before {
    pub(super) reservation: Option<Reservation>,
    pub(super) credentials: Credentials,
}

/// Does it.
pub(super) async fn before(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Arc<Policy>,
    owed: &Obligations,
    facts: &Facts,
    content: &mut Content,
) -> Result<Before, Denied> {
    let reservation = reserve(cx, conn, policy, owed, facts)?;
    let fetched = credential::fetch(policy, &owed.credentials).await;
    let masked = match fetched {
        Ok(credentials) => mask::request(content, policy, owed).await.map(|()| credentials),
        Err(denied) => Err(denied),
    };
    match masked {
        Ok(credentials) => Ok(Before { reservation, credentials }),
        Err(denied) => {
            if let Some(reservation) = reservation {
                reservation.give_back();
            }
            Err(denied)
        }
    }
}

/// Gives back what was done for a request that is not sent.
pub(super) fn undo(before: Result<Before, Denied>) {
    if let Ok(Before { reservation: Some(reservation), .. }) = before {
        reservation.give_back();
    }
}

fn reserve(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Policy,
    owed: &Obligations,
    facts: &Facts,
) -> Result<Option<Reservation>, Denied> {
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
        let budget = policy.budget(name).ok_or_else(|| Denied::because(DenyReason::Internal))?;
        charged.push((account(name, budget), budget));
    }
    match cx.budgets.reserve(charged, Cost::of(&facts.operation), cx.clock.now()) {
        Ok(reservation) => Ok(Some(reservation)),
        Err(spent) => {
            tracing::info!(
                agent = %facts.agent, account = spent.account.as_str(), "request refused: budget spent"
            );
            Err(no_room(&spent))
        }
    }
}

/// What is said where a budget has no room.
pub(super) fn no_room(spent: &Spent) -> Denied {
    let message = format!("budget `{}` has no room for it", spent.budget());
    Denied { message: Some(message), ..Denied::because(DenyReason::BudgetSpent) }
}
