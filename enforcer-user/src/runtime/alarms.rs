// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is broken just now: raised where it shows, told once, over when it is over.
//!
//! Whoever meets a fault says so here; nobody else decides what `status` calls healthy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use enforcer_core::model::limits::ALARM_QUIET;
use enforcer_core::model::{Alarm, Fault};

use super::Clock;

/// An alarm that went on or off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The fault began.
    Began(Alarm),
    /// It is over.
    Ended(Fault),
}

type Tell = Box<dyn Fn(Change) + Send + Sync>;

/// All alarms. Clones are the same ones.
#[derive(Clone)]
pub struct Alarms(Arc<Inner>);

struct Inner {
    clock: Clock,
    on: Mutex<BTreeMap<Fault, On>>,
    tell: OnceLock<Tell>,
}

struct On {
    alarm: Alarm,
    /// When it last showed, for a fault whose end nobody sees.
    passing: Option<Instant>,
}

impl Alarms {
    /// No alarm.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, on: Mutex::default(), tell: OnceLock::new() }))
    }

    /// Has `tell` called with each change from now on. Only the first call counts.
    pub fn on_change(&self, tell: impl Fn(Change) + Send + Sync + 'static) {
        drop(self.0.tell.set(Box::new(tell)));
    }

    /// Says that something is broken, until [`Self::clear`].
    pub fn raise(&self, fault: Fault, detail: impl Into<String>) {
        self.set(fault, detail.into(), None);
    }

    /// Says that something went wrong whose end nobody sees: over after [`ALARM_QUIET`] without another.
    pub fn shows(&self, fault: Fault, detail: impl Into<String>) {
        self.set(fault, detail.into(), Some(Instant::now()));
    }

    /// Says that it is not broken any more.
    pub fn clear(&self, fault: Fault) {
        let was_on = self.on().remove(&fault).is_some();
        if was_on {
            tracing::info!(fault = fault.name(), "fault is over");
            self.told(Change::Ended(fault));
        }
    }

    /// Ends what did not show for long enough.
    pub fn settle(&self) {
        let is_quiet = |on: &On| on.passing.is_some_and(|seen| seen.elapsed() >= ALARM_QUIET);
        let quiet: Vec<Fault> =
            self.on().iter().filter(|(_, on)| is_quiet(on)).map(|(fault, _)| *fault).collect();
        for fault in quiet {
            self.clear(fault);
        }
    }

    /// True while this is broken.
    #[must_use]
    pub fn is_on(&self, fault: Fault) -> bool {
        self.on().contains_key(&fault)
    }

    /// What is broken, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Alarm> {
        self.on().values().map(|on| on.alarm.clone()).collect()
    }

    fn set(&self, fault: Fault, detail: String, passing: Option<Instant>) {
        let began = {
            let mut on = self.on();
            if let Some(known) = on.get_mut(&fault) {
                known.alarm.detail = detail;
                known.passing = passing;
                return;
            }
            let alarm = Alarm::new(fault, Some(self.0.clock.now()), detail);
            on.insert(fault, On { alarm: alarm.clone(), passing });
            alarm
        };
        tracing::error!(fault = fault.name(), detail = began.detail, "fault");
        self.told(Change::Began(began));
    }

    fn told(&self, change: Change) {
        if let Some(tell) = self.0.tell.get() {
            tell(change);
        }
    }

    fn on(&self) -> MutexGuard<'_, BTreeMap<Fault, On>> {
        self.0.on.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Alarms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Alarms").field(&self.all()).finish()
    }
}

#[cfg(test)]
mod tests {
    use enforcer_core::model::UnixMillis;

    use super::*;

    #[test]
    fn a_fault_is_told_once_when_it_begins_and_once_when_it_ends() {
        let alarms = Alarms::new(Clock::fixed(UnixMillis(7)));
        let told = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&told);
        alarms.on_change(move |change| keep.lock().unwrap().push(change));
        alarms.raise(Fault::Resolver, "first");
        alarms.raise(Fault::Resolver, "second");
        let on = alarms.all();
        assert_eq!((on.len(), on[0].detail.as_str()), (1, "second"));
        assert_eq!(on[0].since, Some(UnixMillis(7)));
        alarms.settle();
        assert!(alarms.is_on(Fault::Resolver), "its end is seen by who raised it");
        alarms.clear(Fault::Resolver);
        alarms.clear(Fault::Resolver);
        let began = Alarm::new(Fault::Resolver, Some(UnixMillis(7)), "first");
        let expected = [Change::Began(began), Change::Ended(Fault::Resolver)];
        assert_eq!(*told.lock().unwrap(), expected);
    }
}
