// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Repeated attempts become one record with their count, so that nobody can flood the journal and no
//! attempt is lost from the count.
//!
//! The first of its kind is recorded at once; what repeats it within a window is one more record at the end
//! of the window. Where one owner (a session) tries too many kinds, those beyond are counted together by group (a
//! technique), and where there are too many of these, all the rest together: memory is bounded, and the sum of all
//! counts is the number of attempts, whatever the order. Windows go by a clock that never steps; the times
//! in the records are those of the wall.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Technique;
use crate::model::limits;
use crate::model::{SessionId, UnixMillis};

/// What makes two things that are counted the same.
pub trait Key: Clone + Ord {
    /// Whose share of the room a kind takes.
    type Owner: Clone + Ord;
    /// By what kinds are counted together that have no room of their own.
    type Group: Clone + Ord;

    /// Whose share of the room this takes.
    fn owner(&self) -> Self::Owner;

    /// By what it is counted where it has no room of its own.
    fn group(&self) -> Self::Group;

    /// Whose what stands for several owners is.
    fn of_several() -> Self::Owner;
}

/// What makes two attempts the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Whose session.
    pub session: SessionId,
    /// Which process; zero where that is not known.
    pub pid: u32,
    /// Where it was seen.
    pub hook: &'static str,
    /// What was tried.
    pub technique: Technique,
    /// Where to.
    pub destination: String,
}

impl Key for Kind {
    type Owner = SessionId;
    type Group = Technique;

    fn owner(&self) -> SessionId {
        self.session
    }

    fn group(&self) -> Technique {
        self.technique
    }

    fn of_several() -> SessionId {
        SessionId::HOST
    }
}

/// How many windows may be open at once, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Length of a window.
    pub window: Duration,
    /// Kinds told apart, over all owners.
    pub kinds: usize,
    /// Kinds told apart of one owner.
    pub owner_kinds: usize,
    /// Groups told apart beyond that, over all owners.
    pub groups: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            window: limits::LEDGER_WINDOW,
            kinds: limits::LEDGER_KINDS_MAX,
            owner_kinds: limits::LEDGER_OWNER_KINDS_MAX,
            groups: limits::LEDGER_GROUPS_MAX,
        }
    }
}

/// What is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<V, O = SessionId> {
    /// Whose it is, or [`Key::of_several`].
    pub owner: O,
    /// The attempt; the first one where there are several.
    pub attempt: V,
    /// How many attempts.
    pub count: u64,
    /// When the first of them was.
    pub first: UnixMillis,
    /// When the last of them was.
    pub last: UnixMillis,
    /// True if they were not all alike.
    pub is_mixed: bool,
}

/// What is counted together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place<K: Key> {
    Kind(K),
    Group(K::Owner, K::Group),
    Rest,
}

#[derive(Debug)]
struct Window<V, O> {
    owner: O,
    /// As it was reported, to tell whether others are alike.
    reported: V,
    /// As it is recorded.
    recorded: V,
    repeats: u64,
    first: UnixMillis,
    last: UnixMillis,
    is_mixed: bool,
}

/// The open windows.
pub struct Ledger<V, K: Key = Kind> {
    bounds: Bounds,
    open: BTreeMap<Place<K>, Window<V, K::Owner>>,
    /// Places in the order in which their windows end.
    ends: VecDeque<(Duration, Place<K>)>,
    kinds: BTreeMap<K::Owner, usize>,
    groups: usize,
}

impl<V, K: Key> std::fmt::Debug for Ledger<V, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

impl<V: Clone + PartialEq, K: Key> Ledger<V, K> {
    /// No window is open.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            open: BTreeMap::new(),
            ends: VecDeque::new(),
            kinds: BTreeMap::new(),
            groups: 0,
        }
    }

    /// Counts an attempt; gives it back if it is to be recorded now. `complete` adds to the first of its kind
    /// what is costly to find out.
    pub fn count(
        &mut self,
        kind: K,
        attempt: V,
        at: UnixMillis,
        now: Duration,
        complete: impl FnOnce(V) -> V,
    ) -> Option<Entry<V, K::Owner>> {
        let (place, owner) = self.place(kind);
        if let Some(window) = self.open.get_mut(&place) {
            if window.repeats == 0 {
                window.first = at;
            }
            window.repeats = window.repeats.saturating_add(1);
            window.last = at;
            window.is_mixed |= window.reported != attempt;
            return None;
        }
        match &place {
            Place::Kind(kind) => {
                let kinds = self.kinds.entry(kind.owner()).or_insert(0);
                *kinds = kinds.saturating_add(1);
            }
            Place::Group(..) => self.groups = self.groups.saturating_add(1),
            Place::Rest => {}
        }
        let recorded = complete(attempt.clone());
        let window = Window {
            owner: owner.clone(),
            reported: attempt,
            recorded: recorded.clone(),
            repeats: 0,
            first: at,
            last: at,
            is_mixed: false,
        };
        self.ends.push_back((now.saturating_add(self.bounds.window), place.clone()));
        self.open.insert(place, window);
        Some(Entry { owner, attempt: recorded, count: 1, first: at, last: at, is_mixed: false })
    }

    /// Closes the windows that are over; what was repeated in them is to be recorded.
    pub fn due(&mut self, now: Duration) -> Vec<Entry<V, K::Owner>> {
        let mut entries = Vec::new();
        while self.ends.front().is_some_and(|(end, _)| *end <= now) {
            let Some((_, place)) = self.ends.pop_front() else { break };
            entries.extend(self.close(&place));
        }
        entries
    }

    /// Closes all windows.
    pub fn close_all(&mut self) -> Vec<Entry<V, K::Owner>> {
        let ends = std::mem::take(&mut self.ends);
        ends.iter().filter_map(|(_, place)| self.close(place)).collect()
    }

    /// When the next window is over.
    #[must_use]
    pub fn next_end(&self) -> Option<Duration> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// Windows that are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// True if no window is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn place(&self, kind: K) -> (Place<K>, K::Owner) {
        let (owner, group) = (kind.owner(), kind.group());
        let fine = Place::Kind(kind);
        let of_owner = self.kinds.get(&owner).copied().unwrap_or(0);
        let kinds = self.open.len().saturating_sub(self.groups);
        let has_room = of_owner < self.bounds.owner_kinds && kinds < self.bounds.kinds;
        if has_room || self.open.contains_key(&fine) {
            return (fine, owner);
        }
        let coarse = Place::Group(owner.clone(), group);
        if self.groups < self.bounds.groups || self.open.contains_key(&coarse) {
            return (coarse, owner);
        }
        (Place::Rest, K::of_several())
    }

    fn close(&mut self, place: &Place<K>) -> Option<Entry<V, K::Owner>> {
        let window = self.open.remove(place)?;
        match place {
            Place::Kind(kind) => {
                let owner = kind.owner();
                if let Some(kinds) = self.kinds.get_mut(&owner) {
                    *kinds = kinds.saturating_sub(1);
                    if *kinds == 0 {
                        self.kinds.remove(&owner);
                    }
                }
            }
            Place::Group(..) => self.groups = self.groups.saturating_sub(1),
            Place::Rest => {}
        }
        let Window { owner, recorded, repeats, first, last, is_mixed, .. } = window;
        let entry = Entry { owner, attempt: recorded, count: repeats, first, last, is_mixed };
        (repeats > 0).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds =
        Bounds { window: Duration::from_secs(5), kinds: 8, owner_kinds: 3, groups: 4 };

    fn kind(session: u64, pid: u32, technique: Technique, destination: &str) -> Kind {
        Kind {
            session: SessionId::from_u64(session),
            pid,
            hook: "connect",
            technique,
            destination: destination.to_owned(),
        }
    }

    fn seconds(seconds: u64) -> (UnixMillis, Duration) {
        (UnixMillis(seconds * 1000), Duration::from_secs(seconds))
    }

    #[test]
    fn the_first_is_recorded_at_once_and_its_repeats_are_one_record() {
        let mut ledger = Ledger::new(BOUNDS);
        let quic = || kind(1, 7, Technique::Quic, "192.0.2.1:443");
        let (at, now) = seconds(10);
        let first = ledger.count(quic(), "a", at, now, |attempt| attempt).expect("recorded");
        assert_eq!((first.count, first.first, first.last), (1, at, at));
        for second in 11..14 {
            let (at, now) = seconds(second);
            assert_eq!(ledger.count(quic(), "a", at, now, |_| unreachable!()), None);
        }
        assert_eq!(ledger.due(Duration::from_secs(14)), []);
        let due = ledger.due(Duration::from_secs(15));
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].count, due[0].first, due[0].last), (3, seconds(11).0, seconds(13).0));
        assert!(!due[0].is_mixed && ledger.is_empty() && ledger.next_end().is_none());
        let (at, now) = seconds(16);
        assert!(ledger.count(quic(), "a", at, now, |attempt| attempt).is_some());
    }

    #[test]
    fn what_is_costly_to_find_out_is_found_once_and_kept_for_the_repeats() {
        let mut ledger = Ledger::new(BOUNDS);
        let (at, now) = seconds(1);
        let raw = || kind(1, 7, Technique::RawSocket, "");
        ledger.count(raw(), "pid 7", at, now, |_| "pid 7 /bin/x").expect("recorded");
        ledger.count(raw(), "pid 7", at, now, |_| unreachable!());
        let due = ledger.close_all();
        assert_eq!((due[0].attempt, due[0].is_mixed), ("pid 7 /bin/x", false));
    }

    #[test]
    fn a_session_beyond_its_kinds_is_counted_by_technique_and_the_others_go_on() {
        let mut ledger = Ledger::new(BOUNDS);
        let (at, now) = seconds(1);
        let mut recorded = 0;
        for port in 0..100 {
            let kind = kind(1, 7, Technique::Datagram, &port.to_string());
            recorded += usize::from(ledger.count(kind, port, at, now, |a| a).is_some());
        }
        assert_eq!(recorded, 4, "three kinds, and the first of those counted together");
        let other = kind(2, 8, Technique::Datagram, "1");
        assert!(ledger.count(other, 1, at, now, |a| a).is_some());
        let due = ledger.close_all();
        assert_eq!((due.len(), due[0].count, due[0].is_mixed), (1, 96, true));
        assert_eq!(due[0].owner, SessionId::from_u64(1));
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_no_window() {
        let mut ledger = Ledger::new(BOUNDS);
        let quic = || kind(1, 7, Technique::Quic, "");
        ledger.count(quic(), 0, UnixMillis(9_000_000), Duration::ZERO, |a| a);
        ledger.count(quic(), 0, UnixMillis(5), Duration::from_secs(1), |a| a);
        assert_eq!(ledger.due(Duration::from_secs(5)).len(), 1);
    }

    fn attempts() -> impl Strategy<Value = Vec<(u64, u32, u8, u8, u64)>> {
        prop::collection::vec((0..6_u64, 0..3_u32, 0..4_u8, 0..20_u8, 0..3_u64), 0..400)
    }

    proptest! {
        #[test]
        fn no_attempt_is_lost_from_the_count_whatever_the_order(attempts in attempts()) {
            let techniques =
                [Technique::Quic, Technique::Mptcp, Technique::OwnPort, Technique::RawSocket];
            let mut ledger = Ledger::new(BOUNDS);
            let mut now = Duration::ZERO;
            let mut counted = 0;
            for (session, pid, technique, destination, pause) in &attempts {
                now += Duration::from_secs(*pause);
                let at = UnixMillis(now.as_secs());
                let technique = techniques[usize::from(*technique)];
                let kind = kind(*session, *pid, technique, &destination.to_string());
                let entry = ledger.count(kind, *destination, at, now, |a| a);
                counted += entry.map_or(0, |entry| entry.count);
                counted += ledger.due(now).iter().map(|entry| entry.count).sum::<u64>();
                prop_assert!(ledger.len() <= BOUNDS.kinds + BOUNDS.groups + 1);
            }
            counted += ledger.close_all().iter().map(|entry| entry.count).sum::<u64>();
            prop_assert_eq!(counted, u64::try_from(attempts.len()).unwrap());
            prop_assert!(ledger.is_empty() && ledger.kinds.is_empty() && ledger.groups == 0);
        }
    }
}
