// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is remembered of who reads what: to whom sessions belong, and what was read lately of others'.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use enforcer_core::model::{SessionId, limits};
use enforcer_core::record::Audited;
use tokio::time::Instant;

/// To whom sessions belong, as far as it was asked for.
#[derive(Debug, Default)]
pub struct Owners(Mutex<BTreeMap<SessionId, u32>>);

impl Owners {
    pub(super) fn known(&self, session: SessionId) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&session).copied()
    }

    pub(super) fn learn(&self, session: SessionId, uid: u32) {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owners.insert(session, uid);
        if owners.len() > limits::ADMIN_OWNERS_MAX {
            // Ids begin with their time.
            owners.pop_first();
        }
    }
}

/// One kind of reading: who, whose, what.
pub(super) type Act = (u32, Option<SessionId>, Audited);

/// What was read lately of others' sessions, so that a page after the other is one record.
#[derive(Debug, Default)]
pub struct Audit(pub(super) tokio::sync::Mutex<BTreeMap<Act, Instant>>);

impl Audit {
    /// The act that has to be recorded, if it was not lately.
    pub(super) fn due(acts: &mut BTreeMap<Act, Instant>, act: Act, now: Instant) -> Option<Act> {
        acts.retain(|_, until| *until > now);
        let (uid, _, what) = act;
        let has_room = acts.len() < limits::AUDIT_ACTS_MAX || acts.contains_key(&act);
        let act = if has_room { act } else { (uid, None, what) };
        (!acts.contains_key(&act)).then_some(act)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_read_page_by_page_is_one_record_and_many_sessions_do_not_fill_the_journal() {
        let (mut acts, now) = (BTreeMap::new(), Instant::now());
        let mut record = |session: u64, now: Instant| {
            let act = (7, Some(SessionId::from_u64(session)), Audited::Events);
            let due = Audit::due(&mut acts, act, now);
            due.inspect(|act| {
                acts.insert(*act, now + limits::AUDIT_WINDOW);
            })
        };
        assert!(record(1, now).is_some() && record(1, now).is_none());
        assert!(record(2, now).is_some(), "another session is another act");
        let later = now + limits::AUDIT_WINDOW + Duration::from_secs(1);
        assert!(record(1, later).is_some(), "it is read again, later");
        let most = limits::AUDIT_ACTS_MAX as u64;
        let recorded = (0..3 * most).filter_map(|session| record(session, later)).count() as u64;
        assert_eq!(recorded, most, "the rest of them is one record");
    }

    #[test]
    fn the_owners_that_are_remembered_have_a_bound() {
        let owners = Owners::default();
        let most = limits::ADMIN_OWNERS_MAX as u64;
        (0..=most).for_each(|session| owners.learn(SessionId::from_u64(session), 7));
        assert_eq!(owners.known(SessionId::from_u64(0)), None);
        assert_eq!(owners.known(SessionId::from_u64(most)), Some(7));
    }
}
