// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process that a selector describes is an agent from the first instruction of its program, with everything
//! it becomes and starts; any other is not touched.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use enforcer_common::{Hook, NOTHING_REFUSED, ProcessLabel, Selector, capacity, key};
use enforcer_core::model::{AgentName, SessionId, UnixMillis};
use enforcer_user::kernel;
use tempfile::TempDir;

use enforcer_tests::lab::child;
use enforcer_tests::lab::{Lab, isolated};

/// Whether the caller is guarded, in one word: guarded connects reach the proxy, others find no route.
const ASK: &str = r#"
import subprocess
ASK = """
import socket, errno
try:
    with socket.create_connection(("10.99.0.2", 80), 160) as s: print("guarded" if s.recv(200) else "refused")
except OSError as error: print({errno.ENETUNREACH: "free"}.get(error.errno, "refused"))
"""
def run(*words):
    "What a program says of itself."
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()
def own(): return {"ENETUNREACH": "free", "EPERM": "refused"}.get(outcome(ask, AF_INET, ("10.99.0.2", 80)), "guarded")
"#;

/// A program of the test's own, which nothing else on the host runs.
struct Program {
    _folder: TempDir,
    path: PathBuf,
}

impl Program {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("agent");
        fs::copy(fs::canonicalize("/usr/bin/python3").unwrap(), &path).unwrap();
        // Another user has to be able to run it.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        Self { _folder: folder, path }
    }

    fn selector(&self) -> Selector {
        Selector { keys: key::EXE, exe: kernel::file_id(&self.path).unwrap(), ..agent("worker") }
    }
}

fn agent(name: &str) -> Selector {
    let label = kernel::label(SessionId::HOST, &AgentName::new(name)).unwrap();
    Selector { agent: label.agent, ..Selector::END }
}

fn path_of(script: &str) -> String {
    format!("{}/host/scripts/{script}", env!("CARGO_MANIFEST_DIR"))
}

fn script(program: &Program, lines: &str) -> String {
    format!("{ASK}AGENT = {:?}\n{lines}", program.path.display().to_string())
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_program_makes_an_agent_before_its_first_instruction_and_others_stay_free() {
    isolated(|| {
        let mut lab = Lab::new();
        let program = Program::new();
        let lines = "show(run(AGENT, '-c', ASK), run(sys.executable, '-c', ASK), own())";
        assert_eq!(lab.beside(&script(&program, lines)), ["free free free"]);
        lab.select(&[(program.selector(), &[])]);
        let before = SessionId::new(UnixMillis(1_700_000_000_000), 0);
        assert_eq!(lab.beside(&script(&program, lines)), ["guarded free free"]);

        let begun = lab.kernel().begun().unwrap();
        let [start] = begun[..] else { panic!("{begun:?}") };
        let session = SessionId::from_u64(start.label.session);
        assert_eq!(kernel::agent_name(&start.label).as_str(), "worker");
        assert!(session > before && start.tgid != 0 && start.parent != 0 && start.started != 0);
        assert_eq!((start.uid, start.exe.inode), (0, fs::metadata(&program.path).unwrap().ino()));
        assert!(start.comm.starts_with(b"agent\0") && start.recorded == 0);
        let event = lab.raw_event();
        assert_eq!((event.hook, event.refusal), (Hook::Exec as u32, NOTHING_REFUSED));
        assert_eq!((event.session, event.tgid), (start.label.session, start.tgid));

        // What is not below the attached cgroup could not be guarded, so it is not called an agent.
        child::run(None, &script(&program, lines));
        assert_eq!(lab.kernel().begun().unwrap().len(), 1);

        // A crash of the daemon changes nothing, and its successor finds the session.
        lab.attach();
        assert_eq!(lab.kernel().begun_as(session).unwrap(), Some(start));
        assert_eq!(lab.beside(&script(&program, lines)), ["guarded free free"]);
        lab.select(&[]);
        assert_eq!(lab.beside(&script(&program, lines)), ["free free free"]);
        for start in lab.kernel().begun().unwrap() {
            lab.kernel().forget(SessionId::from_u64(start.label.session)).unwrap();
        }
        assert_eq!(lab.kernel().begun().unwrap(), []);
        assert_eq!(lab.kernel().labels().unwrap(), []);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn every_key_of_a_selector_has_to_hold_and_the_first_that_holds_decides() {
    isolated(|| {
        let lab = Lab::new();
        let program = Program::new();
        let as_nobody = "'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'";
        let lines = format!(
            "show(run(AGENT, '-c', ASK), run({as_nobody}, AGENT, '-c', ASK), run({as_nobody}, sys.executable, '-c', ASK))"
        );
        let said = |selectors: &[Selector]| {
            let entries: Vec<(Selector, &[&str])> =
                selectors.iter().map(|selector| (*selector, &[][..])).collect();
            lab.select(&entries);
            lab.beside(&script(&program, &lines)).concat()
        };
        let exe = program.selector();
        let nobody = Selector { keys: key::UID, uid: 65534, ..agent("nobody") };
        let group = Selector { keys: key::GID, gid: 65534, ..agent("group") };
        assert_eq!(said(&[nobody]), "free guarded guarded");
        assert_eq!(said(&[group]), "free guarded guarded");
        let both = Selector { keys: key::EXE | key::UID, uid: 65534, ..exe };
        assert_eq!(said(&[both]), "free guarded free");
        let neither = Selector { keys: key::EXE | key::UID, uid: 65533, ..exe };
        assert_eq!(said(&[neither]), "free free free");
        let names = || {
            let begun = lab.kernel().begun().unwrap().into_iter();
            let mut names: Vec<String> = begun
                .map(|start| {
                    lab.kernel().forget(SessionId::from_u64(start.label.session)).unwrap();
                    kernel::agent_name(&start.label).to_string()
                })
                .collect();
            names.sort();
            names
        };
        names();
        assert_eq!(said(&[both, nobody]), "free guarded guarded");
        assert!(names().contains(&"worker".to_owned()), "the first entry decides");
        // setpriv itself is a program of that user only after it has become it.
        let parent = Selector { keys: key::PARENT, parent: exe.exe, ..agent("child") };
        lab.select(&[(parent, &[])]);
        let lines = "show(run(AGENT, '-c', ASK), run(AGENT, '-c', 'import subprocess; print(subprocess.run([\"/usr/bin/python3\", \"-c\", %r], capture_output=True, text=True).stdout.strip())' % ASK))";
        assert_eq!(lab.beside(&script(&program, lines)), ["free guarded"]);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn units_and_cgroups_are_found_whether_they_are_made_before_or_after() {
    isolated(|| {
        let lab = Lab::new();
        let program = Program::new();
        let make = |name: &str| {
            let path = lab.config().cgroup.join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let said = |folder: &Path| {
            let enter =
                "def enter(folder): open(folder + '/cgroup.procs', 'w').write(str(os.getpid()))";
            let lines = format!(
                "{enter}\nenter({:?}); show(own(), run(sys.executable, '-c', ASK))",
                folder.display().to_string()
            );
            lab.beside(&script(&program, &lines)).concat()
        };
        let root = kernel::find_cgroup2().unwrap();
        let by_path =
            format!("/{}/pool", lab.config().cgroup.strip_prefix(&root).unwrap().display());
        let unit = (agent("unit"), &["before.service"][..]);
        let before = make("slice/before.service/inner");
        lab.select(&[unit, (agent("path"), &[&by_path])]);
        let after = make("other/before.service");
        let pool = make("pool/deep/deeper");
        let elsewhere = make("x/pool");
        // A process that enters is an agent with the next program it starts, or when somebody looks.
        assert_eq!(said(&before), "free guarded");
        assert_eq!(said(&after), "free guarded");
        assert_eq!(said(&pool), "free guarded");
        assert_eq!(said(&elsewhere), "free free");
        assert_eq!(said(&lab.config().cgroup), "free free");

        // A bit that means something else now does not mean the old name, too.
        lab.select(&[(agent("x"), &["x"])]);
        assert_eq!(said(&before), "free free");
        assert_eq!(said(&elsewhere), "free guarded");
        lab.select(&[(agent("both"), &["x", "pool"])]);
        assert_eq!(said(&elsewhere), "free guarded");
        assert_eq!(said(&pool), "free free");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_an_agent_becomes_or_starts_is_the_agent() {
    isolated(|| {
        let lab = Lab::new();
        let program = Program::new();
        lab.select(&[(program.selector(), &[])]);
        let cgroup = lab.config().cgroup.display().to_string();
        let lines = format!("show(run(AGENT, {:?}, {cgroup:?}))", path_of("becoming.py"));
        assert_eq!(lab.beside(&script(&program, &lines)), [["guarded"; 8].join(" ")]);
        assert_eq!(lab.kernel().begun().unwrap().len(), 1, "all of it is one session");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn in_a_storm_of_forks_threads_and_programs_every_descendant_has_the_label() {
    isolated(|| {
        let lab = Lab::new();
        let program = Program::new();
        lab.select(&[(program.selector(), &[])]);
        let lines = format!("show(run(AGENT, {:?}))", path_of("storm.py"));
        let expected = (0..=5).map(|depth| 3_u32.pow(depth)).sum::<u32>() + 80;
        assert_eq!(lab.beside(&script(&program, &lines)), [format!("{expected} 0")]);
        assert_eq!(lab.kernel().begun().unwrap().len(), 1);
        assert_eq!(lab.kernel().labels().unwrap(), [], "labels go with their processes");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn without_room_for_a_label_or_a_session_an_agent_is_refused_everything() {
    isolated(|| {
        let lab = Lab::new();
        let program = Program::new();
        lab.select(&[(program.selector(), &[])]);
        let lines = "show(run(AGENT, '-c', 'import subprocess, sys; print(*[subprocess.run([exe, \"-c\", %r], capture_output=True, text=True).stdout.strip() for exe in (\"/usr/bin/python3\", sys.executable)])' % ASK), own())";
        // No process has such an id.
        let first = capacity::PIDS;
        for pid in first..first + capacity::PROCESSES {
            lab.kernel().label(pid, SessionId::from_u64(u64::from(pid))).unwrap();
        }
        assert_eq!(lab.beside(&script(&program, lines)), ["refused refused free"]);
        assert_eq!(lab.kernel().begun().unwrap(), []);
        for pid in first..first + capacity::PROCESSES {
            lab.kernel().unlabel(pid).unwrap();
        }
        assert_eq!(size_of::<ProcessLabel>(), 8);
        assert_eq!(lab.beside(&script(&program, lines)), ["guarded guarded free"]);
        let [template] = lab.kernel().begun().unwrap()[..] else { panic!("one session") };
        let mut made = Vec::new();
        for number in 1..capacity::SESSIONS {
            let mut start = template;
            start.label.session = u64::from(number);
            lab.kernel().begin(&start).unwrap();
            made.push(SessionId::from_u64(u64::from(number)));
        }
        assert_eq!(lab.beside(&script(&program, lines)), ["refused refused free"]);
        for session in made {
            lab.kernel().forget(session).unwrap();
        }
        assert_eq!(lab.beside(&script(&program, lines)), ["guarded guarded free"]);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn connections_from_before_are_ended_and_listeners_stay() {
    isolated(|| {
        let lab = Lab::new();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let server6 = TcpListener::bind("[::1]:0").unwrap();
        let at = server.local_addr().unwrap().port();
        let at6 = server6.local_addr().unwrap().port();
        let mut process = lab.start_beside(&format!(
            r#"
four = create_connection(("127.0.0.1", {at})); six = create_connection(("::1", {at6}))
mapped = socket_(AF_INET6); mapped.connect(("::ffff:127.0.0.1", {at}))
udp = socket_(AF_INET, SOCK_DGRAM); udp.connect(("127.0.0.1", {at}))
local = socketpair()
listener = socket_(); listener.bind(("127.0.0.1", 0)); listener.listen()
show(listener.getsockname()[1]); input()
for s in (four, six, mapped): show(outcome(s.send, b"x"))
show(outcome(udp.send, b"x") in ("EDESTADDRREQ", "ECONNABORTED"), local[0].send(b"x"))
show(len(listener.accept()))
"#
        ));
        let port: u16 = process.line().parse().unwrap();
        let pid = process.pid();
        lab.guard_process(pid);
        let session = SessionId::from_u64(enforcer_tests::lab::SESSION);
        assert_eq!(lab.kernel().cut(pid, 0, session).unwrap(), 4);
        assert_eq!(lab.kernel().cut(pid, 0, session).unwrap(), 0, "all of them are ended");
        process.go_on();
        let _dialed = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let lines = process.finish();
        assert_eq!(lines[3..], ["True 1", "2"], "{lines:?}");
        for line in &lines[..3] {
            assert!(matches!(line.as_str(), "ECONNABORTED" | "EPIPE"), "{lines:?}");
        }
        // A process that is gone is told as such.
        assert!(lab.kernel().cut(u32::MAX / 4, 0, session).is_err());
    });
}
