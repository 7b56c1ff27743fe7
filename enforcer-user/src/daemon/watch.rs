// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks now and then at what can break without anybody noticing, says so, and puts back what can be put
//! back. What breaks where somebody notices is told there.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use enforcer_core::model::limits::{
    CLOCK_STEP_MIN, DESCRIPTORS_FREE_MIN, ROOTS_INTERVAL, WATCH_INTERVAL,
};
use enforcer_core::model::{Fault, SessionId, UnixMillis};
use enforcer_core::record::{EventBody, Recorded, Technique};
use tokio::time::MissedTickBehavior;

use crate::admin::Host;
use crate::dns::{self, Resolver};
use crate::enforce::{self, Enforcer};
use crate::kernel::Keeper;
use crate::runtime::{self, Change, Spares, chain};
use crate::tls::{self, Anchors, Root};

/// Where the host says which resolvers it has.
pub(super) const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What is looked at.
pub(super) struct Watch {
    pub(super) host: Arc<Host>,
    pub(super) keeper: Arc<Mutex<Keeper>>,
    pub(super) resolver: Resolver,
    /// Where upstream certificates are anchored, and what was read there last.
    pub(super) roots: Vec<Root>,
    pub(super) anchors: Anchors,
    pub(super) spares: Arc<Spares>,
}

/// What was seen at the last look.
struct Seen {
    lost: u64,
    strangers: u64,
    wall: UnixMillis,
    steady: Instant,
    roots: Instant,
}

/// Writes each fault down when it begins and when it ends.
pub(super) fn record_faults(cx: &Arc<Enforcer>) {
    let weak = Arc::downgrade(cx);
    cx.alarms.on_change(move |change| {
        let Some(cx) = weak.upgrade() else { return };
        let body = match change {
            // Nothing can be recorded then, which is the fault.
            Change::Began(alarm) if alarm.name == Fault::Journal => return,
            Change::Began(alarm) => {
                // What a detail quotes may be what an agent chose.
                let everything = cx.policy.load().masker_of_everything();
                let detail = Recorded::of(&alarm.detail, &everything);
                EventBody::FaultBegan { fault: alarm.name, detail }
            }
            Change::Ended(fault) => EventBody::FaultEnded { fault },
        };
        cx.journal.append_or_count(SessionId::HOST, cx.clock.now(), body);
    });
}

/// Writes the counters of budgets down as they change.
pub(super) async fn keep_budgets(cx: Arc<Enforcer>) {
    let (clock, told) = (cx.clock.clone(), Arc::clone(&cx));
    let kept = cx.budgets.clone().keep(
        move || clock.now(),
        move |saved| match saved {
            Ok(()) => told.alarms.clear(Fault::Budgets),
            Err(error) => told.alarms.raise(Fault::Budgets, chain(&error)),
        },
    );
    kept.await;
}

/// Records repeated attempts and logs repeated denials when their window is over.
pub(super) async fn record_repeats(cx: Arc<Enforcer>) {
    loop {
        let next = enforce::next_due(&cx);
        let wait = next.map_or(WATCH_INTERVAL, |end| end.saturating_duration_since(Instant::now()));
        tokio::time::sleep(wait.clamp(Duration::from_millis(1), WATCH_INTERVAL)).await;
        enforce::record_due(&cx);
    }
}

impl Watch {
    /// Looks every [`WATCH_INTERVAL`].
    pub(super) async fn run(mut self) {
        let cx = Arc::clone(&self.host.enforcer);
        let mut seen = Seen {
            lost: self.host.kernel.events_lost().unwrap_or(0),
            strangers: strangers(&cx),
            wall: cx.clock.now(),
            steady: Instant::now(),
            roots: Instant::now(),
        };
        let mut interval = tokio::time::interval(WATCH_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            self.host.look();
            self.descriptors();
            clock(&cx, &mut seen);
            self.events_lost(&mut seen);
            self.programs().await;
            self.origins(&mut seen).await;
            if cx.alarms.is_on(Fault::Memory) && cx.buffers.has_room() {
                cx.alarms.clear(Fault::Memory);
            }
            enforce::look_at_spent(&cx);
            self.resolvers().await;
            if seen.roots.elapsed() >= ROOTS_INTERVAL {
                self.roots().await;
                seen.roots = Instant::now();
            }
            cx.alarms.settle();
        }
    }

    fn descriptors(&self) {
        let alarms = &self.host.enforcer.alarms;
        let is_enough = runtime::has_descriptors(DESCRIPTORS_FREE_MIN);
        if !alarms.is_on(Fault::Descriptors) {
            if !is_enough {
                let detail = format!("fewer than {DESCRIPTORS_FREE_MIN} file descriptors are free");
                alarms.raise(Fault::Descriptors, detail);
            }
        } else if is_enough && self.spares.refill() {
            alarms.clear(Fault::Descriptors);
        }
    }

    fn events_lost(&self, seen: &mut Seen) {
        let cx = &self.host.enforcer;
        let Ok(lost) = self.host.kernel.events_lost() else { return };
        let count = lost.saturating_sub(seen.lost);
        if count > 0 {
            seen.lost = lost;
            let detail = format!("{count} refusals found the ring full and were not recorded");
            cx.alarms.shows(Fault::EventsLost, detail);
            let body = EventBody::KernelEventsLost { count };
            cx.journal.append_or_count(SessionId::HOST, cx.clock.now(), body);
        }
    }

    async fn programs(&self) {
        let keeper = Arc::clone(&self.keeper);
        let repaired = tokio::task::spawn_blocking(move || {
            keeper.lock().unwrap_or_else(PoisonError::into_inner).repair()
        });
        let repaired = repaired.await;
        let alarms = &self.host.enforcer.alarms;
        match repaired {
            Ok(Ok(done)) if done.is_empty() => {}
            Ok(Ok(done)) => alarms.shows(Fault::Programs, format!("put back: {}", done.join(", "))),
            Ok(Err(error)) => {
                alarms.shows(Fault::Programs, format!("not put back: {}", chain(&error)));
            }
            Err(error) => tracing::error!(%error, "the programs could not be looked at"),
        }
    }

    /// Reading all origins takes a while, so only after somebody came without one.
    async fn origins(&self, seen: &mut Seen) {
        let cx = &self.host.enforcer;
        let strangers = strangers(cx);
        if strangers == seen.strangers && !cx.alarms.is_on(Fault::Origins) {
            return;
        }
        seen.strangers = strangers;
        let origins = self.host.kernel.origins();
        match tokio::task::spawn_blocking(move || origins.is_full()).await {
            Ok(Ok(true)) => {
                let most = enforcer_common::capacity::ORIGINS;
                let detail = format!("{most} origins are kept already; the oldest are evicted");
                cx.alarms.raise(Fault::Origins, detail);
            }
            Ok(Ok(false)) => cx.alarms.clear(Fault::Origins),
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "origins cannot be counted"),
            Err(error) => tracing::error!(%error, "origins could not be counted"),
        }
    }

    /// Follows the host's list of resolvers; asks them while they are said not to answer.
    async fn resolvers(&self) {
        let alarms = &self.host.enforcer.alarms;
        match host_resolvers() {
            Ok(upstream) => self.resolver.set_upstream(upstream),
            // The last good list stays in use.
            Err(error) => return alarms.raise(Fault::Resolver, chain(&error)),
        }
        if alarms.is_on(Fault::Resolver) {
            match self.resolver.probe().await {
                Err(failure) if failure.is_of_the_host() => {
                    alarms.raise(Fault::Resolver, failure.to_string());
                }
                _ => alarms.clear(Fault::Resolver),
            }
        }
    }

    /// Follows the files of roots; what cannot be read never makes the set smaller or larger.
    async fn roots(&mut self) {
        let cx = &self.host.enforcer;
        let roots = self.roots.clone();
        let read = match tokio::task::spawn_blocking(move || Anchors::read(&roots)).await {
            Ok(read) => read,
            Err(error) => return tracing::error!(%error, "roots could not be looked at"),
        };
        let trusted = read.and_then(|read| {
            if read != self.anchors {
                cx.upstream.trust(tls::verified_by(&read)?);
                tracing::info!("new roots for upstream certificates are in force");
                self.anchors = read;
            }
            Ok(())
        });
        match trusted {
            Ok(()) => cx.alarms.clear(Fault::UpstreamRoots),
            Err(error) => cx.alarms.raise(Fault::UpstreamRoots, chain(&error)),
        }
    }
}

/// The resolvers of this host.
///
/// # Errors
/// If their list cannot be read.
pub(super) fn host_resolvers() -> Result<Vec<SocketAddr>, dns::Error> {
    dns::host_resolvers(Path::new(RESOLV_CONF))
}

fn strangers(cx: &Enforcer) -> u64 {
    cx.attempts.counts().get(&Technique::UnknownPeer).copied().unwrap_or(0)
}

/// Both clocks should have gone on by the same time.
fn clock(cx: &Enforcer, seen: &mut Seen) {
    let (wall, steady) = (cx.clock.now(), Instant::now());
    let passed = steady.saturating_duration_since(seen.steady);
    if let Some(step) = step(seen.wall, wall, passed) {
        cx.alarms.shows(Fault::Clock, step);
    }
    (seen.wall, seen.steady) = (wall, steady);
}

/// How far the wall clock jumped, in words, if it did.
fn step(before: UnixMillis, after: UnixMillis, passed: Duration) -> Option<String> {
    let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
    let expected = before.0.saturating_add(passed);
    let off = Duration::from_millis(after.0.abs_diff(expected));
    let way = if after.0 < expected { "backwards" } else { "forwards" };
    (off >= CLOCK_STEP_MIN).then(|| format!("the clock stepped {way} by {} s", off.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_from_time_that_passed() {
        let check =
            |after: u64| step(UnixMillis(100_000), UnixMillis(after), Duration::from_secs(5));
        assert_eq!(check(105_000), None);
        assert_eq!(check(106_500), None);
        assert_eq!(check(205_000).as_deref(), Some("the clock stepped forwards by 100 s"));
        assert_eq!(check(45_000).as_deref(), Some("the clock stepped backwards by 60 s"));
    }
}
