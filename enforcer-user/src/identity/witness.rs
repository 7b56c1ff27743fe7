// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds out more about a process that the kernel named, and never blames another one: an id is used again
//! once its process is gone, so what `/proc` says counts only if it is about the same life.

use std::fs;

use enforcer_core::record::Process;
use nix::unistd::{SysconfVar, sysconf};

use super::cgroup;

const NANOS: u64 = 1_000_000_000;

/// What the kernel knew of the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The process was seen at this moment, in nanoseconds since boot.
    SeenAt(u64),
    /// The process started at this moment, in nanoseconds since boot.
    Started(u64),
}

/// Adds parent, executable file and cgroup, as far as `/proc` still tells them of the same process.
#[must_use]
pub fn complete(process: Process, witness: Witness) -> Process {
    if process.pid == 0 {
        return process;
    }
    let nanos = tick_nanos();
    let is_same = || {
        let started = cgroup::started(process.pid)?;
        is_same_life(started, nanos, witness).then_some(started)
    };
    let Some(started) = is_same() else { return process };
    let path = |name: &str| format!("/proc/{}/{name}", process.pid);
    let exe = fs::read_link(path("exe")).ok().map(|exe| exe.to_string_lossy().into_owned());
    let cgroups = fs::read_to_string(path("cgroup")).unwrap_or_default();
    let group = cgroups.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned);
    let parent = parent(process.pid);
    // It may have ended between two reads.
    if is_same() != Some(started) {
        return process;
    }
    Process {
        started: process.started.or_else(|| Some(started.saturating_mul(nanos))),
        parent: process.parent.or(parent),
        exe,
        cgroup: group,
        ..process
    }
}

/// Whether the process that has the id now, started at tick `started`, is the one that was meant. A process
/// keeps its id as long as it lives, so who has it now and started before a moment had it at that moment.
const fn is_same_life(started: u64, tick_nanos: u64, witness: Witness) -> bool {
    match witness {
        Witness::SeenAt(at) => started.saturating_mul(tick_nanos) <= at,
        Witness::Started(at) => started == at / tick_nanos,
    }
}

/// Nanoseconds of a tick in `/proc`.
fn tick_nanos() -> u64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    let ticks = ticks.and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0);
    NANOS / ticks.unwrap_or(100)
}

/// Field 4 of `stat` (proc(5)).
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 10_000_000;

    #[test]
    fn a_reused_id_is_never_blamed() {
        assert!(is_same_life(100, TICK, Witness::SeenAt(100 * TICK + 3)));
        assert!(is_same_life(100, TICK, Witness::SeenAt(900 * TICK)));
        assert!(!is_same_life(101, TICK, Witness::SeenAt(100 * TICK + 3)));
        assert!(is_same_life(100, TICK, Witness::Started(100 * TICK + 7)));
        assert!(!is_same_life(99, TICK, Witness::Started(100 * TICK + 7)));
        assert!(!is_same_life(101, TICK, Witness::Started(100 * TICK + 7)));
    }

    #[test]
    fn a_living_process_is_completed_and_one_that_started_later_is_not() {
        let own = Process::new(std::process::id(), 0, "test");
        let found = complete(own.clone(), Witness::SeenAt(u64::MAX));
        let exe = std::env::current_exe().unwrap();
        assert_eq!(found.exe.as_deref(), exe.to_str());
        assert_eq!(found.parent, Some(std::os::unix::process::parent_id()));
        assert!(found.started.is_some());
        let started = found.started.unwrap();
        assert_eq!(complete(own.clone(), Witness::Started(started)).exe, found.exe);
        assert_eq!(complete(own.clone(), Witness::SeenAt(0)), own);
        assert_eq!(complete(own.clone(), Witness::Started(started + 10 * NANOS)), own);
    }
}
