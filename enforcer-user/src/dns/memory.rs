// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Remembers which names an address was given for, as long as the answer said, within limits.
//!
//! It is a hint for records and for clients that send no name; a decision that needs a name and
//! finds none here refuses. Full, it forgets the entry that was learned longest ago.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use enforcer_core::model::limits;

/// Address to names. Clones share one memory.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<Entries>>);

#[derive(Debug)]
struct Entries {
    /// INVARIANT: each entry here has its key in `order`, and the other way round.
    names: HashMap<IpAddr, Vec<Entry>>,
    order: BTreeMap<u64, IpAddr>,
    next: u64,
    max: usize,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    expires: Instant,
    learned: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_max(limits::NAMES_MAX)
    }
}

impl Memory {
    /// An empty memory that holds this many entries.
    pub(super) fn with_max(max: usize) -> Self {
        let entries =
            Entries { names: HashMap::new(), order: BTreeMap::new(), next: 0, max: max.max(1) };
        Self(Arc::new(Mutex::new(entries)))
    }

    /// The names this address was given for and still holds, the newest first.
    #[must_use]
    pub fn name_of(&self, address: IpAddr) -> Vec<String> {
        self.name_of_at(address, Instant::now())
    }

    /// Whether this address was given for this name (lower case) and still holds.
    #[must_use]
    pub fn is_known(&self, name: &str, address: IpAddr) -> bool {
        self.is_known_at(name, address, Instant::now())
    }

    fn name_of_at(&self, address: IpAddr, now: Instant) -> Vec<String> {
        let entries = self.lock();
        let found = entries.names.get(&address.to_canonical()).into_iter().flatten();
        let mut found: Vec<&Entry> = found.filter(|entry| entry.expires > now).collect();
        found.sort_by_key(|entry| std::cmp::Reverse(entry.learned));
        found.into_iter().map(|entry| entry.name.to_string()).collect()
    }

    fn is_known_at(&self, name: &str, address: IpAddr, now: Instant) -> bool {
        let entries = self.lock();
        let found = entries.names.get(&address.to_canonical());
        found.is_some_and(|all| all.iter().any(|it| &*it.name == name && it.expires > now))
    }

    /// Remembers addresses of a name, each for its time brought into the limits.
    pub(super) fn learn(&self, name: &str, addresses: &[(IpAddr, Duration)]) {
        self.learn_at(name, addresses, Instant::now());
    }

    fn learn_at(&self, name: &str, addresses: &[(IpAddr, Duration)], now: Instant) {
        let name: Arc<str> = name.into();
        let mut entries = self.lock();
        for (address, lasts) in addresses {
            let lasts = (*lasts).clamp(limits::NAME_TTL_MIN, limits::NAME_TTL_MAX);
            entries.learn(address.to_canonical(), Arc::clone(&name), now + lasts);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing in here panics between two changes, so the content is whole even then.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn learn(&mut self, address: IpAddr, name: Arc<str>, expires: Instant) {
        self.forget(address, |entry| entry.name == name);
        while self.order.len() >= self.max {
            let Some((&oldest, &held)) = self.order.first_key_value() else { break };
            self.forget(held, |entry| entry.learned == oldest);
        }
        let learned = self.next;
        self.next += 1;
        self.order.insert(learned, address);
        self.names.entry(address).or_default().push(Entry { name, expires, learned });
    }

    fn forget(&mut self, address: IpAddr, is_it: impl Fn(&Entry) -> bool) {
        let Some(held) = self.names.get_mut(&address) else { return };
        for entry in held.extract_if(.., |entry| is_it(entry)) {
            self.order.remove(&entry.learned);
        }
        if held.is_empty() {
            self.names.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::{Duration, Instant};

    use super::Memory;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_name_is_remembered_within_the_limits_whatever_its_time_says() {
        fn check(lasts: Duration, seconds: u64, expect: bool) {
            let (memory, start) = (Memory::default(), Instant::now());
            memory.learn_at("a.example", &[(address(1), lasts)], start);
            let now = start + Duration::from_secs(seconds);
            assert_eq!(memory.is_known_at("a.example", address(1), now), expect, "{seconds}");
            assert_eq!(memory.name_of_at(address(1), now).len(), usize::from(expect), "{seconds}");
        }
        check(Duration::ZERO, 59, true);
        check(Duration::ZERO, 61, false);
        check(Duration::from_secs(300), 299, true);
        check(Duration::from_secs(300), 301, false);
        check(DAY, 3599, true);
        check(DAY, 3601, false);
        check(Duration::from_secs(u32::MAX.into()), 3601, false);
    }

    #[test]
    fn an_address_keeps_all_its_names_and_the_newest_comes_first() {
        let memory = Memory::default();
        for name in ["a.example", "b.example", "a.example"] {
            memory.learn(name, &[(address(1), DAY)]);
        }
        assert_eq!(memory.name_of(address(1)), ["a.example", "b.example"]);
        assert_eq!(memory.name_of("::ffff:192.0.2.1".parse().unwrap()).len(), 2);
        assert!(!memory.is_known("a.example", address(2)));
    }

    #[test]
    fn a_full_memory_forgets_the_entry_learned_longest_ago() {
        let memory = Memory::with_max(2);
        memory.learn("a.example", &[(address(1), DAY), (address(2), DAY)]);
        memory.learn("a.example", &[(address(1), DAY)]);
        memory.learn("b.example", &[(address(3), DAY)]);
        assert!(memory.is_known("a.example", address(1)));
        assert!(!memory.is_known("a.example", address(2)));
        assert!(memory.is_known("b.example", address(3)));
        let entries = memory.lock();
        assert_eq!(entries.order.len(), 2);
        assert_eq!(entries.names.len(), 2);
    }
}
