// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Makes agents of processes that ran before anybody looked: before the daemon started, before the bundle
//! named them, or where the kernel found no room.
//!
//! Compares what the kernel compares when a program starts. A process that is described begins a session, and
//! its descendants belong to it. Looks again until nothing new is found, because processes start others
//! meanwhile; a label is inherited, so that ends. Lineage is what `/proc` tells now: a descendant whose
//! parents are gone is found only if a selector describes it by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use enforcer_common::{SessionStart, key};
use enforcer_core::model::{Capture, SessionId, limits};
use enforcer_core::policy::{SHORT_ID_DIGITS, container_id};

use super::{Config, Entry, Guard, GuardError, capture_of, cgroup};

/// A process that was made an agent, or part of one, while it ran.
#[derive(Debug)]
pub struct Adopted {
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Its user id.
    pub uid: u32,
    /// The name that it gave itself, as it is.
    pub comm: String,
    /// Its session.
    pub session: SessionId,
    /// How much of its egress is taken.
    pub capture: Capture,
    /// The session began with this process.
    pub begun: bool,
    /// Connections of it that were ended.
    pub cut: u64,
}

/// A process as `/proc` shows it.
#[derive(Debug)]
struct Running {
    parent: u32,
    started: u64,
    uid: u32,
    gid: u32,
    exe: Option<(u64, u64)>,
    /// The paths of its cgroup and of those above.
    cgroups: Vec<PathBuf>,
}

/// Adopts every process below the attached cgroup that an entry describes, and its descendants. `new_session`
/// makes ids.
///
/// # Errors
/// When a label or session found no room: the processes named stay unguarded.
pub fn adopt(
    guard: &dyn Guard,
    config: &Config,
    entries: &[Entry],
    new_session: &dyn Fn() -> SessionId,
) -> (Vec<Adopted>, Vec<String>) {
    let (mut adopted, mut problems) = (Vec::new(), Vec::new());
    if entries.is_empty() {
        return (adopted, problems);
    }
    let mut sessions: BTreeMap<u32, (SessionId, Capture)> = BTreeMap::new();
    let mut failed: BTreeSet<u32> = BTreeSet::new();
    for _pass in 0..limits::ADOPTION_PASSES_MAX {
        let before = adopted.len();
        let running = running(config);
        for (pid, found) in &running {
            let is_done = sessions.contains_key(pid) || failed.contains(pid);
            if is_done || is_guarded(guard, config, *pid) {
                continue;
            }
            let inherited = ancestor_session(&running, &sessions, found.parent);
            let entry = entries.iter().find(|entry| describes(entry, found, &running));
            let taken = match (inherited, entry) {
                (Some(session), _) => join(guard, *pid, found, session),
                (None, Some(entry)) => begin(guard, *pid, found, entry, new_session()),
                (None, None) => continue,
            };
            match taken {
                Ok(Some(taken)) => {
                    sessions.insert(*pid, (taken.session, taken.capture));
                    adopted.push(taken);
                }
                Ok(None) => {}
                Err(error) => {
                    failed.insert(*pid);
                    let why = crate::runtime::chain(&*error);
                    problems.push(format!("process {pid} is not guarded: {why}"));
                }
            }
        }
        if adopted.len() == before {
            break;
        }
    }
    (adopted, problems)
}

fn is_guarded(guard: &dyn Guard, config: &Config, pid: u32) -> bool {
    pid == std::process::id()
        || !matches!(guard.is_agent(pid), Ok(false))
        || cgroup::is_guarded(pid, &config.sessions)
}

/// The session of the nearest ancestor that was adopted in this look. Who was labeled when it started a
/// program has labeled descendants, and children from before that are none of the agent's.
fn ancestor_session(
    running: &BTreeMap<u32, Running>,
    sessions: &BTreeMap<u32, (SessionId, Capture)>,
    parent: u32,
) -> Option<(SessionId, Capture)> {
    let mut next = parent;
    for _generation in 0..limits::GENERATIONS_MAX {
        if let Some(session) = sessions.get(&next) {
            return Some(*session);
        }
        next = running.get(&next)?.parent;
    }
    None
}

fn describes(entry: &Entry, found: &Running, running: &BTreeMap<u32, Running>) -> bool {
    let asks = |bit: u32| entry.selector.keys & bit != 0;
    let parent = || running.get(&found.parent).and_then(|parent| parent.exe);
    (!asks(key::EXE) || (entry.exe.is_some() && entry.exe == found.exe))
        && (!asks(key::PARENT) || (entry.parent.is_some() && entry.parent == parent()))
        && (!asks(key::UID) || entry.selector.uid == found.uid)
        && (!asks(key::GID) || entry.selector.gid == found.gid)
        && (!asks(key::PLACES) || entry.places.iter().all(|place| is_in(place, found)))
}

/// A place is the name of a cgroup, its whole path, or the id of its container, short or whole.
fn is_in(place: &str, found: &Running) -> bool {
    found.cgroups.iter().any(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        let id = name.and_then(container_id);
        let is_id = |id: &str| id == place || id.get(..SHORT_ID_DIGITS) == Some(place);
        path == Path::new(place) || name == Some(place) || id.is_some_and(is_id)
    })
}

/// Labels a process with a session of its own; nothing comes back when it is gone.
fn begin(
    guard: &dyn Guard,
    pid: u32,
    found: &Running,
    entry: &Entry,
    session: SessionId,
) -> Result<Option<Adopted>, GuardError> {
    let start = SessionStart {
        label: guard.label_of(session, &entry.agent)?,
        started: nanoseconds(found.started),
        cgroup: 0,
        exe: enforcer_common::FileId::default(),
        tgid: pid,
        uid: found.uid,
        parent: found.parent,
        recorded: 0,
        comm: padded(&cgroup::comm(pid)),
        capture: entry.selector.capture,
        padding: 0,
    };
    // In this order, as in the kernel: a session that is known has a process.
    let inherited = (session, capture_of(&start));
    let Some(joined) = join(guard, pid, found, inherited)? else { return Ok(None) };
    guard.begin(&start)?;
    Ok(Some(Adopted { begun: true, ..joined }))
}

/// Labels a process, then ends what it is connected to if all of its egress is taken; nothing comes back when it
/// is gone.
fn join(
    guard: &dyn Guard,
    pid: u32,
    found: &Running,
    (session, capture): (SessionId, Capture),
) -> Result<Option<Adopted>, GuardError> {
    let (uid, comm) = (found.uid, cgroup::comm(pid));
    guard.label(pid, session, capture)?;
    // SECURITY: the id may be another process's by now, which must neither be guarded nor cut. The label of one
    // that has ended already would never be taken away.
    if cgroup::started(pid) != Some(found.started) || !cgroup::is_running(pid) {
        guard.unlabel(pid)?;
        return Ok(None);
    }
    let cut = match capture {
        Capture::All => guard.cut(pid, found.uid, session),
        Capture::Endpoints => Ok(0),
    };
    let cut = match cut {
        Ok(cut) => cut,
        Err(_) if cgroup::started(pid) != Some(found.started) => 0,
        Err(error) => return Err(error),
    };
    Ok(Some(Adopted { pid, uid, comm, session, capture, begun: false, cut }))
}

/// Every process below the attached cgroup. One that ends meanwhile is left out.
fn running(config: &Config) -> BTreeMap<u32, Running> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid
            && let Some(found) = look(pid, &config.attached)
        {
            all.insert(pid, found);
        }
    }
    all
}

fn look(pid: u32, attached: &Path) -> Option<Running> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = Path::new(cgroups.lines().find_map(|line| line.strip_prefix("0::"))?);
    if !path.starts_with(attached) {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // Of four ids the first is the real one (proc_pid_status(5)).
    let number = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let exe = fs::metadata(format!("/proc/{pid}/exe")).ok();
    Some(Running {
        parent: number("PPid:")?,
        started: cgroup::started(pid)?,
        uid: number("Uid:")?,
        gid: number("Gid:")?,
        exe: exe.map(|metadata| (metadata.dev(), metadata.ino())),
        cgroups: path.ancestors().map(Path::to_owned).collect(),
    })
}

/// Clock ticks since boot as nanoseconds; Linux shows 100 ticks a second (`USER_HZ`).
fn nanoseconds(ticks: u64) -> u64 {
    ticks.saturating_mul(10_000_000)
}

fn padded(comm: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().take(15).zip(comm.bytes()) {
        *to = from;
    }
    bytes
}

#[cfg(test)]
mod tests;
