// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes and threads by the thousand: no descendant of a guarded process is without its label, also when
//! there is no room for one, and nobody else has it.

use aya::maps::{HashMap, Map, MapData};
use enforcer_common::{Hook, NO_SESSION, ProcessLabel, Refusal, capacity, map};
use enforcer_core::model::SessionId;

use crate::storm::CLIENT;
use enforcer_tests::lab::child::Script;
use enforcer_tests::lab::{Lab, SESSION, isolated};
use enforcer_tests::lightened;

/// Each descendant asks the proxy who it is; what it says goes up as exit status.
const STORMS: &str = r#"
import threading
def is_known():
    try:
        with socket_() as s:
            s.settimeout(PATIENCE); s.connect(("10.99.0.2", 80))
            return s.recv(200).decode().startswith("10.99.0.2:80 pid %d " % os.getpid())
    except OSError:
        return False
def family():
    os.setsid()
    child = os.fork()
    if child == 0: os._exit(0 if is_known() else 1)
    os._exit(0 if is_known() and os.waitpid(child, 0)[1] == 0 else 1)
def forks(waves, width):
    wrong = 0
    for _ in range(waves):
        children = []
        for _ in range(width):
            child = os.fork()
            if child == 0: family()
            children.append(child)
        wrong += sum(os.waitpid(child, 0)[1] != 0 for child in children)
    return wrong
def execs(client, count, threads):
    right, quiet = [], [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    def some():
        for _ in range(count // threads):
            child = os.posix_spawn(client, [client, "once", "10.99.0.2:80"], os.environ, file_actions=quiet)
            if os.waitpid(child, 0)[1] == 0: right.append(child)
    started = [threading.Thread(target=some) for _ in range(threads)]
    for thread in started: thread.start()
    for thread in started: thread.join()
    return count - len(right)
input()
"#;

/// Runs a storm in a session's cgroup, and in one that has only the label, outside any session.
fn storm(script: &str, expect: &'static [&str]) {
    let script = format!("{STORMS}\n{script}");
    isolated(move || {
        let lab = Lab::new();
        let mut by_cgroup = lab.start_guarded(&script);
        by_cgroup.go_on();
        assert_eq!(by_cgroup.finish(), expect, "by cgroup");
        let mut by_label = lab.start_beside(&script);
        lab.guard_process(by_label.pid());
        by_label.go_on();
        assert_eq!(by_label.finish(), expect, "by label");
        assert_eq!(processes(&lab).keys().count(), 0, "labels outlive their processes");
    });
}

fn processes(lab: &Lab) -> HashMap<MapData, u32, ProcessLabel> {
    Map::HashMap(MapData::from_pin(lab.pin(map::PROCESSES)).unwrap()).try_into().unwrap()
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn of_a_storm_of_forks_every_descendant_is_guarded() {
    storm(&format!("show(forks(waves={}, width=50))", lightened(20)), &["0"]);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn of_a_storm_of_execs_every_descendant_is_guarded() {
    storm(
        &format!("show(execs('{CLIENT}', count={}, threads=8))", lightened(2000) / 8 * 8),
        &["0"],
    );
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn of_a_storm_of_threads_every_one_is_guarded() {
    isolated(|| {
        let lab = Lab::new();
        let number = lightened(2000).to_string();
        let count = ["threads", "10.99.0.2:80", &number];
        let expect = format!("right {number} refused 0 wrong 0 ");
        let report = lab.start_guarded_program(CLIENT, &count).finish().concat();
        assert!(report.starts_with(&expect), "{report}");
        let script = format!("input(); os.execv('{CLIENT}', ['{CLIENT}', *{count:?}])");
        let mut by_label = lab.start_beside(&script);
        lab.guard_process(by_label.pid());
        by_label.go_on();
        let report = by_label.finish().concat();
        assert!(report.starts_with(&expect), "{report}");
    });
}

/// Makes a child, with an id that it is told, which says what it meets outside; or one that ends at once.
const IDS: &str = r#"
import ctypes
def clone_as(pid):
    wanted, arguments = (ctypes.c_int * 1)(pid), (ctypes.c_uint64 * 11)()
    arguments[4], arguments[8], arguments[9] = 17, ctypes.addressof(wanted), 1
    return ctypes.CDLL(None, use_errno=True).syscall(435, arguments, 88)
for line in sys.stdin:
    if line.strip() == "":
        child = os.fork()
        if child == 0: os._exit(0)
        os.waitpid(child, 0)
        show(child)
        continue
    child = clone_as(int(line))
    if child == 0:
        show(outcome(ask, AF_INET, ("10.99.0.2", 80)), os.getpid()); os._exit(0)
    if child < 0: show("taken")
    else: os.waitpid(child, 0)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_process_id_that_is_given_anew_has_the_label_of_its_new_parent() {
    isolated(|| {
        let rounds = lightened(200);
        let lab = Lab::new();
        let (mut guarded, mut free) = (lab.start_guarded(IDS), lab.start_beside(IDS));
        let again = |first: &mut Script, second: &mut Script| {
            first.go_on();
            let pid = first.line();
            second.say(&pid);
            (second.line(), pid)
        };
        let mut taken = 0;
        for _ in 0..rounds {
            let (line, pid) = again(&mut guarded, &mut free);
            taken += u32::from(line == "taken");
            assert!(line == "taken" || line == format!("ENETUNREACH {pid}"), "{line}");
            let (line, pid) = again(&mut free, &mut guarded);
            taken += u32::from(line == "taken");
            let expect = format!("10.99.0.2:80 pid {pid} uid 0 10.99.0.2:80 {pid}");
            assert!(line == "taken" || line == expect, "{line}");
        }
        assert!(taken < rounds, "hardly an id was given anew");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_child_whose_label_finds_no_room_is_refused_everything_and_told() {
    isolated(|| {
        let mut lab = Lab::new();
        let mut script = lab.start_guarded(
            r#"
def everything():
    show(os.getpid(), outcome(ask, AF_INET, ("10.99.0.2", 80)), outcome(ask, AF_INET6, ("fd99::2", 80)),
        outcome(ask, AF_INET, ("127.0.0.1", 9)), outcome(socket_(AF_INET, SOCK_DGRAM).sendto, b"x", ("10.99.0.2", 53)))
def child(after):
    pid = os.fork()
    if pid == 0: after(); os._exit(0)
    os.waitpid(pid, 0)
show(os.getpid()); input()
child(everything); child(lambda: child(everything))
input()
child(everything)
"#,
        );
        let parent: u32 = script.line().parse().unwrap();
        // Ids that no process can have.
        let fill = (capacity::PIDS..).take(2 * capacity::PROCESSES as usize);
        let other = SessionId::from_u64(SESSION + 1);
        let filled = fill.take_while(|pid| lab.kernel().label(*pid, other).is_ok()).count();
        assert!(filled > capacity::PROCESSES as usize / 2, "{filled}");
        script.go_on();
        for _ in 0..2 {
            let line = script.line();
            assert!(line.ends_with(" EPERM EPERM EPERM EPERM"), "{line}");
        }
        let event = lab.any_event();
        assert_eq!((event.session, event.tgid), (SESSION, parent));
        assert_eq!((event.hook, event.refusal), (Hook::Fork as u32, Refusal::NoLabel as u32));
        let event = lab.any_event();
        assert_eq!((event.session, event.port), (NO_SESSION, 80));
        assert_eq!((event.hook, event.refusal), (Hook::Connect as u32, Refusal::NoLabel as u32));
        let mut processes = processes(&lab);
        for pid in capacity::PIDS..capacity::PIDS + 1000 {
            processes.remove(&pid).unwrap();
        }
        script.go_on();
        let lines = script.finish();
        assert!(lines[0].contains(" 10.99.0.2:80 pid "), "{lines:?}");
    });
}
