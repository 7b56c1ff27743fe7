// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds out more about a process that the kernel named, and never blames another one: an id is used again
//! once its process is gone, so what `/proc` says counts only if it is about the same life.

use std::fs;
use std::os::unix::fs::MetadataExt;

use enforcer_common::ANCESTORS;
use enforcer_core::mask::Masker;
use enforcer_core::record::{Details, Process, Recorded};
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

impl Witness {
    /// The process started at this tick, as [`super::started`] tells it.
    #[must_use]
    pub fn of_ticks(started: u64) -> Self {
        Self::Started(started.saturating_mul(tick_nanos()))
    }
}

/// Adds what `/proc` still tells of the same process. What the kernel told stays as it is.
#[must_use]
pub fn complete(process: Process, witness: Witness, masker: &Masker) -> Process {
    if process.pid == 0 {
        return process;
    }
    let nanos = tick_nanos();
    let is_same = || {
        let started = cgroup::started(process.pid)?;
        is_same_life(started, nanos, witness).then_some(started)
    };
    let Some(started) = is_same() else { return process };
    let found = read(process.pid, started.saturating_mul(nanos), masker);
    // It may have ended between two reads.
    if is_same() != Some(started) {
        return process;
    }
    let details = match process.details {
        Some(told) => merged(*told, found),
        None => found,
    };
    Process { details: Some(Box::new(details)), ..process }
}

fn read(pid: u32, started_ns: u64, masker: &Masker) -> Details {
    let path = |name: &str| format!("/proc/{pid}/{name}");
    let recorded = |text: &str| Recorded::of(text, masker);
    let file = fs::metadata(path("exe")).ok();
    let device = |file: &fs::Metadata| {
        let device = file.dev();
        recorded(&format!("{}:{}", libc::major(device), libc::minor(device)))
    };
    let groups = fs::read_to_string(path("cgroup")).unwrap_or_default();
    Details {
        started_ns,
        cgroup: None,
        cgroup_path: groups.lines().find_map(|line| line.strip_prefix("0::")).map(recorded),
        exe_inode: file.as_ref().map(MetadataExt::ino),
        exe_device: file.as_ref().map(device),
        exe: fs::read_link(path("exe")).ok().map(|exe| recorded(&exe.to_string_lossy())),
        ancestors: ancestors(pid),
    }
}

/// What the kernel told, and what only `/proc` says. A program that was replaced since is not told.
fn merged(told: Details, found: Details) -> Details {
    let exe = found.exe.filter(|_| told.exe_inode == found.exe_inode);
    Details { cgroup_path: found.cgroup_path, exe: told.exe.or(exe), ..told }
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

/// As many as the kernel tells of a process that connects; the parent first.
fn ancestors(pid: u32) -> Vec<u32> {
    let above = |pid: &u32| parent(*pid).filter(|parent| *parent != 0);
    std::iter::successors(above(&pid), above).take(ANCESTORS).collect()
}

/// Field 4 of `stat` (proc(5)).
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use enforcer_core::mask::{DetectorKind, DetectorSpec, Style};
    use enforcer_core::model::DetectorName;

    use super::*;

    const TICK: u64 = 10_000_000;

    fn nothing() -> Masker {
        Masker::new(Vec::new()).unwrap()
    }

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
        let complete = |witness| complete(own.clone(), witness, &nothing());
        let found = complete(Witness::SeenAt(u64::MAX)).details.unwrap();
        let exe = std::env::current_exe().unwrap();
        assert_eq!(found.exe.as_deref(), exe.to_str());
        assert_eq!(found.exe_inode, fs::metadata(exe).map(|file| file.ino()).ok());
        assert_eq!(found.ancestors.first(), Some(&std::os::unix::process::parent_id()));
        let started = found.started_ns;
        assert_eq!(complete(Witness::Started(started)).details, Some(found.clone()));
        let ticks = cgroup::started(own.pid).unwrap();
        assert_eq!(complete(Witness::of_ticks(ticks)).details, Some(found));
        assert_eq!(complete(Witness::SeenAt(0)), own);
        assert_eq!(complete(Witness::Started(started + 10 * NANOS)), own);
    }

    #[test]
    fn what_a_mask_names_is_not_in_what_is_found_out() {
        let kind = DetectorKind::Pattern("enforcer_user-[0-9a-f]{1,32}".to_owned());
        let spec = DetectorSpec { name: DetectorName::new("own"), kind };
        let masker = Masker::new(vec![(spec, Style::Label)]).unwrap();
        let own = std::process::id();
        let found = complete(Process::new(own, 0, "test"), Witness::SeenAt(u64::MAX), &masker);
        let exe = found.details.unwrap().exe.unwrap();
        assert!(exe.ends_with("/[own]"), "{exe}");
        assert!(super::super::process(own, 0, &masker).comm.len() > 1);
    }

    #[test]
    fn what_the_kernel_told_stays_and_another_program_is_not_told() {
        let own = std::process::id();
        let mut told = read(own, 7, &nothing());
        let path = told.exe.take();
        told.cgroup = Some(5);
        let found = merged(told.clone(), read(own, 8, &nothing()));
        assert_eq!((found.started_ns, found.cgroup, &found.exe), (7, Some(5), &path));
        told.exe_inode = Some(0);
        assert_eq!(merged(told, read(own, 8, &nothing())).exe, None);
    }
}
