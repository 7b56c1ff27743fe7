// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is adopted and what is not, on processes of the test and labels that no kernel keeps.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use enforcer_common::{FileId, Label};
use enforcer_core::model::AgentName;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::*;

fn running_in(path: &str, parent: u32) -> Running {
    let cgroups = Path::new(path).ancestors().map(Path::to_owned).collect();
    Running { parent, started: 1, uid: 7, gid: 8, exe: Some((1, 2)), cgroups }
}

#[test]
fn a_place_is_a_name_or_a_whole_path() {
    let found = running_in("/system.slice/a.service/worker", 1);
    for place in ["a.service", "/system.slice/a.service", "/system.slice", "system.slice"] {
        assert!(is_in(place, &found), "{place}");
    }
    for place in ["b.service", "/a.service", ".service", "/system.slice/a", ""] {
        assert!(!is_in(place, &found), "{place}");
    }
    let id = "0123456789abcdef".repeat(4);
    let found = running_in(&format!("/system.slice/docker-{id}.scope/init.scope"), 1);
    assert!(is_in(&id, &found) && is_in("0123456789ab", &found));
    assert!(!is_in("0123456789abc", &found) && !is_in("123456789abc", &found));
}

#[test]
fn the_nearest_adopted_ancestor_gives_the_session_and_a_circle_ends() {
    let running = BTreeMap::from([
        (2, running_in("/", 1)),
        (3, running_in("/", 2)),
        (8, running_in("/", 9)),
        (9, running_in("/", 8)),
    ]);
    let sessions = BTreeMap::from([(2, FIVE)]);
    assert_eq!(ancestor_session(&running, &sessions, 3), Some(FIVE));
    assert_eq!(ancestor_session(&running, &sessions, 1), None);
    assert_eq!(ancestor_session(&running, &sessions, 8), None);
}

const FIVE: (SessionId, Capture) = (SessionId::from_u64(5), Capture::All);

/// Labels as the kernel would keep them, and who was cut.
#[derive(Default)]
struct Labels {
    given: Mutex<BTreeMap<u32, SessionId>>,
    begun: Mutex<Vec<u32>>,
    cut: Mutex<Vec<u32>>,
}

impl Guard for Labels {
    fn guard(&self, _: u64, _: SessionId, _: &AgentName) -> Result<(), GuardError> {
        Ok(())
    }
    fn unguard(&self, _: u64) -> Result<(), GuardError> {
        Ok(())
    }
    fn file(&self, _: &Path) -> Result<FileId, GuardError> {
        Ok(FileId::default())
    }
    fn label_of(&self, _: SessionId, _: &AgentName) -> Result<Label, GuardError> {
        Ok(Label { session: 5, agent: [0; enforcer_common::AGENT_NAME_BYTES] })
    }
    fn agent_of(&self, _: &Label) -> AgentName {
        AgentName::new("support")
    }
    fn session_of(&self, pid: u32) -> Result<Option<SessionId>, GuardError> {
        Ok(self.given.lock().unwrap().get(&pid).copied())
    }
    fn labels(&self) -> Result<Vec<(u32, SessionId)>, GuardError> {
        Ok(self.given.lock().unwrap().clone().into_iter().collect())
    }
    fn begin(&self, start: &SessionStart) -> Result<(), GuardError> {
        self.begun.lock().unwrap().push(start.tgid);
        Ok(())
    }
    fn begun_as(&self, _: SessionId) -> Result<Option<SessionStart>, GuardError> {
        Ok(None)
    }
    fn forget(&self, _: SessionId) -> Result<(), GuardError> {
        Ok(())
    }
    fn is_agent(&self, pid: u32) -> Result<bool, GuardError> {
        Ok(self.given.lock().unwrap().contains_key(&pid))
    }
    fn label(&self, pid: u32, session: SessionId, _: Capture) -> Result<(), GuardError> {
        self.given.lock().unwrap().insert(pid, session);
        Ok(())
    }
    fn unlabel(&self, pid: u32) -> Result<(), GuardError> {
        self.given.lock().unwrap().remove(&pid);
        Ok(())
    }
    fn cut(&self, pid: u32, _: u32, _: SessionId) -> Result<u64, GuardError> {
        self.cut.lock().unwrap().push(pid);
        Ok(0)
    }
}

/// A process that waits for its input to end, as a look at `/proc` found it.
fn waiting() -> (Child, Running) {
    let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let started = cgroup::started(child.id()).unwrap();
    (child, Running { started, ..running_in("/", 1) })
}

/// Ends a process and leaves its exit code to be asked for.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
}

#[test]
fn a_process_that_ends_between_the_look_and_its_label_keeps_none() {
    let (mut child, found) = waiting();
    let pid = child.id();
    end(&mut child);
    // It is still in `/proc`, with the same start, until its parent asks for its exit code.
    assert_eq!(cgroup::started(pid), Some(found.started));
    let guard = Labels::default();
    let entry = Entry {
        agent: AgentName::new("support"),
        selector: enforcer_common::Selector::END,
        places: Vec::new(),
        exe: None,
        parent: None,
    };
    assert!(begin(&guard, pid, &found, &entry, SessionId::from_u64(5)).unwrap().is_none());
    assert_eq!(guard.labels().unwrap(), []);
    child.wait().unwrap();
    assert!(join(&guard, pid, &found, FIVE).unwrap().is_none());
    assert_eq!(guard.labels().unwrap(), []);
    assert_eq!(*guard.begun.lock().unwrap(), [] as [u32; 0]);
    assert_eq!(*guard.cut.lock().unwrap(), [] as [u32; 0]);
}

#[test]
fn a_process_id_that_is_another_process_by_now_keeps_no_label_and_no_connection_is_cut() {
    let (mut child, found) = waiting();
    let pid = child.id();
    let guard = Labels::default();
    let before = Running { started: found.started - 1, ..running_in("/", 1) };
    assert!(join(&guard, pid, &before, FIVE).unwrap().is_none());
    assert_eq!((guard.labels().unwrap().len(), guard.cut.lock().unwrap().len()), (0, 0));
    assert!(join(&guard, pid, &found, FIVE).unwrap().is_some());
    assert_eq!(guard.labels().unwrap(), [(pid, SessionId::from_u64(5))]);
    assert_eq!(*guard.cut.lock().unwrap(), [pid]);
    end(&mut child);
    child.wait().unwrap();
}
