// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The cgroup file system, as far as sessions need it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use enforcer_core::mask::Masker;
use enforcer_core::record::{Process, Recorded};

use super::Error;

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Cgroup { operation, path, source }
}

/// Makes the cgroup (its parent too) and returns its id: the inode number, as the kernel's helpers see it.
pub(super) fn create(path: &Path) -> Result<u64, Error> {
    fs::create_dir_all(path).map_err(failed("create", path))?;
    fs::metadata(path).map(|found| found.ino()).map_err(failed("read", path))
}

/// Moves a whole process into the cgroup.
pub(super) fn enter(path: &Path, pid: u32) -> Result<(), Error> {
    fs::write(path.join("cgroup.procs"), pid.to_string()).map_err(failed("enter", path))
}

/// Removes the cgroup and what its processes made below it. All must be empty.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    if let Ok(children) = fs::read_dir(path) {
        for child in children.flatten() {
            if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&child.path())?;
            }
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// True while a process lives in the cgroup or below it.
pub(super) fn is_populated(path: &Path) -> bool {
    match fs::read_to_string(path.join("cgroup.events")) {
        Ok(events) => events.lines().any(|line| line == "populated 1"),
        // Unreadable for another reason than absence: assume the session lives, so the label stays.
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Names of the session cgroups in which processes live, with the ids of those processes.
#[must_use]
pub fn populated(sessions: &Path) -> Vec<(String, Vec<u32>)> {
    let Ok(folders) = fs::read_dir(sessions) else { return Vec::new() };
    let folders =
        folders.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let alive = folders.filter(|entry| is_populated(&entry.path()));
    let named = |entry: fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), processes(&entry.path()))
    };
    alive.map(named).collect()
}

/// Ids of the processes in a cgroup and below it.
fn processes(path: &Path) -> Vec<u32> {
    let own = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<u32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    for child in fs::read_dir(path).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(processes(&child.path()));
        }
    }
    found
}

/// Removes all session cgroups and their folder.
///
/// # Errors
/// [`Error::Cgroup`] if processes still live in one.
pub fn remove_all(sessions: &Path) -> Result<(), Error> {
    remove(sessions)
}

/// True if the process is in a session's cgroup. Errs to true: what cannot be read is not trusted.
#[must_use]
pub fn is_guarded(pid: u32, sessions: &Path) -> bool {
    let Ok(lines) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else { return true };
    let Some(path) = lines.lines().find_map(|line| line.strip_prefix("0::")) else { return true };
    names_session(Path::new(path), |name| sessions.join(name).is_dir())
}

/// The path begins at the root of the hierarchy, which may be above what is mounted, so it is the name of
/// a living session below a folder of sessions that tells, wherever that is.
fn names_session(path: &Path, is_alive: impl Fn(&str) -> bool) -> bool {
    let mut names = path.components().filter_map(|component| component.as_os_str().to_str());
    while let Some(name) = names.next() {
        let mut below = names.clone();
        if name == enforcer_common::SESSIONS_CGROUP && below.next().is_some_and(&is_alive) {
            return true;
        }
    }
    false
}

/// When a process started, in clock ticks since boot; with its id it names it for good. None once it is
/// gone (proc(5), field 22 of `stat`).
#[must_use]
pub fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command name in parentheses, which may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// True if the process was stopped by a signal or a debugger (proc(5), field 3 of `stat`).
#[must_use]
pub fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().next());
    matches!(state, Some("T" | "t"))
}

/// False once a process has ended, also while its parent has not asked for its exit code (proc(5), field 3 of
/// `stat`). Errs to true.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit_once(')').is_some_and(|(_, rest)| {
            matches!(rest.split_ascii_whitespace().next(), Some("Z" | "X"))
        }),
        // A process that ends while it is read is ESRCH.
        Err(error) => {
            error.kind() != io::ErrorKind::NotFound && error.raw_os_error() != Some(libc::ESRCH)
        }
    }
}

/// The process as the record names it; empty words where it is gone already.
#[must_use]
pub fn process(pid: u32, uid: u32, masker: &Masker) -> Process {
    Process::new(pid, uid, Recorded::of(&comm(pid), masker))
}

/// The name that a process gave itself; empty where it is gone already.
pub(super) fn comm(pid: u32) -> String {
    let comm = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&comm).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_recognized_wherever_the_hierarchy_is_mounted() {
        let check = |path: &str| names_session(Path::new(path), |name| name == "0123");
        assert!(check("/enforcer/0123") && check("/a/b/enforcer/0123/deeper"));
        assert!(check("/enforcer/enforcer/0123"));
        assert!(
            !check("/") && !check("/enforcer") && !check("/enforcer/4567") && !check("/x/0123")
        );
    }

    #[test]
    fn a_process_that_ended_does_not_run_also_before_it_is_waited_for() {
        assert!(is_running(std::process::id()));
        assert!(!is_running(u32::MAX));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while is_running(child.id()) {
            std::thread::yield_now();
        }
        assert!(started(child.id()).is_some(), "it is still there");
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_process_is_named_by_its_start() {
        assert!(started(std::process::id()).is_some());
        assert_eq!(started(u32::MAX), None);
    }
}
