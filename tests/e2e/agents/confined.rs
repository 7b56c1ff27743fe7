// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What no program in the kernel stops is refused to an agent by the way it is started. Each attempt is
//! made beside it too, with nothing of Enforcer around, where it goes through.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use enforcer_tests::command::{self, Interrupt, Output};
use enforcer_tests::{agent_script, built, python};
use enforcer_user::kernel::find_cgroup2;
use serde_json::{Value, json};

use crate::scene::{LIMIT, Scene, alone, bundle, expect_words, wait_until};

const NOBODY: u32 = 65534;

/// An attempt, what it gives inside, and what beside.
type Attempt = (String, &'static str, &'static str);

/// A process of some user that nobody guards; its stdin is a connection.
struct Target {
    child: Child,
    _listener: TcpListener,
}

impl Target {
    fn start(uid: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut command = Command::new("cat");
        command.stdin(Stdio::from(OwnedFd::from(stream))).uid(uid).gid(uid);
        Self { child: command.spawn().unwrap(), _listener: listener }
    }

    fn attempts(&self) -> Vec<Attempt> {
        let pid = self.child.id();
        let refused = |name: &str, inside| (format!("{name}={pid}"), inside, "ok");
        vec![
            refused("pidfd_getfd", "EPERM"),
            refused("ptrace", "EPERM"),
            refused("read_memory", "EPERM"),
            refused("write_memory", "EPERM"),
            refused("open_memory", "EACCES"),
            refused("root_of", "EACCES"),
            refused("signal", "EPERM"),
        ]
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn attempt(what: impl ToString, inside: &'static str, beside: &'static str) -> Attempt {
    (what.to_string(), inside, beside)
}

/// What whoever runs it may do beside.
fn of_everybody() -> Vec<Attempt> {
    vec![
        attempt("socket=40,1,0", "EAFNOSUPPORT", "ok"),
        attempt("socket=1,1,0", "ok", "ok"),
        attempt("socket=2,1,0", "ok", "ok"),
        attempt("socket=10,1,0", "ok", "ok"),
        attempt("socket=16,3,0", "ok", "ok"),
        attempt("userns/socket=17,3,0", "EAFNOSUPPORT", "ok"),
        attempt("userns/socket=40,1,0", "EAFNOSUPPORT", "ok"),
        // Rings run socket(2) where no filter looks.
        attempt("io_uring_setup", "ENOSYS", "ok"),
        attempt("userns/io_uring_setup", "ENOSYS", "ok"),
        attempt("keyctl", "EPERM", "ok"),
        // Not on a terminal here, so beside it the command itself is not known.
        attempt("type_into_terminal", "EPERM", "ENOTTY"),
        // A kernel without x32 answers the same; a unit test of the filter tells the two apart.
        attempt("x32_socket=2", "ENOSYS", "ENOSYS"),
        #[cfg(target_arch = "x86_64")]
        attempt("i386_socket=2", "SIGSYS", "ok"),
        #[cfg(target_arch = "x86_64")]
        attempt("userns/i386_socket=40", "SIGSYS", "ENODEV"),
    ]
}

/// What root may do beside, whose own files are the way to most of it.
fn of_root(scene: &Scene, daemon: u64) -> Vec<Attempt> {
    let hierarchy = find_cgroup2().unwrap();
    let (hierarchy, cgroup) = (hierarchy.display(), scene.host.cgroup().display());
    let folder = scene.host.folder().display();
    let policy = bundle("openai-agents").join("policy.toml");
    let mut all = vec![
        attempt("socket=17,3,0", "EAFNOSUPPORT", "ok"),
        attempt("socket=44,3,0", "EAFNOSUPPORT", "ok"),
        attempt("socket=2,3,255", "EPERM", "ok"),
        attempt("bpf", "EPERM", "ok"),
        attempt("userns/bpf", "EPERM", "EPERM"),
        attempt("perf_event_open", "EPERM", "ok"),
        attempt("finit_module", "EPERM", "ENOSYS"),
        attempt("kexec_file_load", "EPERM", "ENOSYS"),
        attempt("open_by_handle_at", "EPERM", "EFAULT"),
        attempt("unshare_network", "EPERM", "ok"),
        attempt(format!("mount={folder}"), "EPERM", "ok"),
        attempt(format!("enter_cgroup={hierarchy}"), "EROFS", "ok"),
        attempt(format!("enter_cgroup={cgroup}"), "EROFS", "ok"),
        attempt(format!("userns/enter_cgroup={cgroup}"), "EROFS", "ok"),
        // What is in force cannot be unlinked where it is not.
        attempt(format!("listed={folder}/bpf"), "ENOENT", "ok"),
        attempt("write=/proc/sys/kernel/core_pattern", "EROFS", "ok"),
        attempt("userns/write=/proc/sys/kernel/core_pattern", "EROFS", "ok"),
        attempt(format!("open={folder}/state/ca/ca.key"), "ENOENT", "ok"),
        attempt(format!("write={folder}/enforcer.toml"), "EROFS", "ok"),
        attempt(format!("write={}", policy.display()), "EROFS", "ok"),
        attempt(format!("signal={daemon}"), "EPERM", "ok"),
    ];
    // Inside a user namespace the mounts of before are locked.
    for point in [hierarchy.to_string(), "/proc/sys".to_owned(), format!("{folder}/state")] {
        all.push(attempt(format!("userns/make_writable={point}"), "EPERM", "?"));
        all.push(attempt(format!("userns/unmount={point}"), "EINVAL", "?"));
    }
    all.push(attempt(format!("userns/mount_proc={folder}"), "EPERM", "ok"));
    all
}

fn check(attempts: &[Attempt], inside: &Output, beside: &Output) {
    let said = |output: &Output| output.json_lines().first().cloned().unwrap_or(Value::Null);
    let (is_inside, is_beside) = (said(inside), said(beside));
    let wrong: Vec<String> = attempts
        .iter()
        .filter(|(what, expect_inside, expect_beside)| {
            is_inside[what] != *expect_inside
                || (*expect_beside != "?" && is_beside[what] != *expect_beside)
        })
        .map(|(what, expect_inside, expect_beside)| {
            let (inside, beside) = (&is_inside[what], &is_beside[what]);
            format!("{what}: {inside} ({expect_inside}), beside {beside} ({expect_beside})")
        })
        .collect();
    assert!(wrong.is_empty(), "found (expected):\n  {}\n{}", wrong.join("\n  "), inside.stderr);
}

fn words(attempts: &[Attempt]) -> Vec<String> {
    let program = built("attempt").unwrap().display().to_string();
    std::iter::once(program).chain(attempts.iter().map(|(what, ..)| what.clone())).collect()
}

/// Open for the length of a test; the name is returned.
fn abstract_listener() -> (UnixListener, String) {
    let name = format!("enforcer-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    (UnixListener::bind_addr(&address).unwrap(), name)
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_the_programs_do_not_see_is_refused_to_root() {
    let scene = Scene::start();
    let target = Target::start(0);
    let (_listener, name) = abstract_listener();
    let daemon = scene.json(&["status"])["pid"].as_u64().unwrap();
    let mut attempts = of_everybody();
    attempts.extend(target.attempts());
    attempts.extend(of_root(&scene, daemon));
    attempts.push(attempt(format!("abstract_socket={name}"), "EPERM", "ok"));
    let words = words(&attempts);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let inside = scene.run(&words).checked().unwrap();
    let beside = scene.host.unguarded(&words).unwrap().checked().unwrap();
    check(&attempts, &inside, &beside);
    // None of it ended the guard.
    assert_eq!(scene.json(&["status"])["is_healthy"], true);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_the_programs_do_not_see_is_refused_to_a_user() {
    let scene = Scene::start();
    let target = Target::start(NOBODY);
    let mut attempts = of_everybody();
    attempts.extend(target.attempts());
    // Root inside a namespace of one's own may make raw sockets, mounts and a procfs, and none leads out.
    let folder = scene.host.folder().display().to_string();
    attempts.push(attempt("userns/socket=2,3,255", "EPROTONOSUPPORT", "ok"));
    attempts.push(attempt(format!("userns/mount={folder}"), "ok", "ok"));
    attempts.push(attempt(format!("userns/mount_proc={folder}"), "ok", "ok"));
    attempts.push(attempt(format!("userns/root_of={}", target.child.id()), "EACCES", "EACCES"));
    let words = words(&attempts);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let inside = scene.run_as_nobody(&words).checked().unwrap();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).uid(NOBODY).gid(NOBODY);
    let beside = command::run(command, LIMIT, &Interrupt::default()).unwrap().checked().unwrap();
    check(&attempts, &inside, &beside);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn no_capability_is_left_and_none_can_be_had() {
    let scene = Scene::start();
    for output in [
        scene.run(&["cat", "/proc/self/status"]),
        scene.run_as_nobody(&["cat", "/proc/self/status"]),
    ] {
        let status = output.checked().unwrap().stdout;
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            expect_words(&status, &[&format!("{set}:\t0000000000000000\n")]);
        }
        expect_words(&status, &["NoNewPrivs:\t1\n", "Seccomp:\t2\n"]);
    }
    let status = scene.run(&["cat", "/proc/self/status"]).checked().unwrap().stdout;
    expect_words(&status, &["CapBnd:\t0000000000000000\n"]);
    let ids = scene.run_as_nobody(&["sh", "-c", "id -u; id -G; echo $USER"]).checked().unwrap();
    assert_eq!(ids.stdout, "65534\n65534\nnobody\n");
    let stranger = ["run", "--agent", "support", "--user", "no-such-user", "--", "true"];
    let output = scene.cli(&stranger).expect_code(2).unwrap();
    expect_words(&output.stderr, &["no user `no-such-user` on this host"]);
    scene.finish();
}

/// Starts it from a shell that has a connection to the provider as this descriptor.
fn with_connection(scene: &Scene, fd: u32, command: &Command) -> Output {
    let to = scene.openai.address();
    let line = format!("exec {fd}<>/dev/tcp/{}/{}; exec \"$@\"", to.ip(), to.port());
    let mut bash = Command::new("bash");
    bash.args(["-c", &line, "bash"]).arg(command.get_program()).args(command.get_args());
    command::run(bash, LIMIT, &Interrupt::default()).unwrap()
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connection_is_not_inherited() {
    let scene = Scene::start();
    let attempts = [attempt("descriptor=7", "EBADF", "ok"), attempt("descriptor=1", "ok", "ok")];
    let words = words(&attempts);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut plain = Command::new(words[0]);
    plain.args(&words[1..]);
    let agent = scene.host.agent("support", &words).unwrap();
    let inside = with_connection(&scene, 7, &agent).checked().unwrap();
    check(&attempts, &inside, &with_connection(&scene, 7, &plain).checked().unwrap());
    // Stdin stays open, so there it keeps the command from starting.
    let output = with_connection(&scene, 0, &agent).expect_code(3).unwrap();
    assert_eq!(output.stdout, "");
    expect_words(&output.stderr, &["stdin is a socket of a network", "hint: give it a pipe"]);
    wait_until("the end of the sessions", || scene.alive().is_empty());
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_folder_it_is_started_in_shows_no_more_than_its_path() {
    let scene = Scene::start();
    let from = |folder: &str, line: &str| {
        let mut agent = scene.host.agent("support", &["sh", "-c", line]).unwrap();
        agent.current_dir(scene.host.folder().join(folder));
        command::run(agent, LIMIT, &Interrupt::default()).unwrap()
    };
    assert_eq!(from("state", "ls").checked().unwrap().stdout, "trust\n");
    assert_eq!(from("bpf", "ls").checked().unwrap().stdout, "");
    // Hidden, so there is nowhere to start.
    let output = from("state/journal", "ls").expect_code(3).unwrap();
    expect_words(&output.stderr, &["failed to enter", "state/journal", "launch = \"plain\""]);
    let mut agent = scene.host.agent("support", &["ls"]).unwrap();
    agent.stdin(fs::File::open(scene.host.folder().join("state")).unwrap());
    let ended = agent.stderr(Stdio::null()).status().unwrap();
    assert_eq!(ended.code(), Some(3), "a folder is handed over as stdin");
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_agents_use_works_inside() {
    let scene = Scene::start();
    let folder = scene.host.folder().join("work");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    let python = python().unwrap().display().to_string();
    let tree = "import subprocess, sys, threading
for _ in range(8):
    threading.Thread(target=lambda: subprocess.run(['sh', '-c', 'echo 1'])).start()";
    let commit = "set -e; export HOME=$PWD; git init -q .; echo a > a; git add a
git -c user.name=a -c user.email=a@b commit -qm a; git clone -q . copy; mkdir sub; mv a sub/a
ls copy; sleep 0 & wait; (exit 0) | cat; kill -0 $$";
    let script = agent_script("chat.mjs").display().to_string();
    let chat = agent_script("chat.py").display().to_string();
    let run = |words: &[&str]| scene.run_as_nobody(words).checked().unwrap().stdout;
    let run_as_root = |words: &[&str]| scene.run(words).checked().unwrap().stdout;
    let line = format!("cd {}; {commit}", folder.display());
    assert_eq!(run(&["bash", "-c", &line]), "a\n");
    // The SDKs stand where only root may read on some hosts.
    assert_eq!(run_as_root(&[&python, "-c", tree]), "1\n".repeat(8));
    let pip = run_as_root(&[&python, "-m", "pip", "--version"]);
    assert_eq!(pip.split(' ').next(), Some("pip"));
    expect_words(&run_as_root(&[&python, &chat, "--text", "hello"]), &["ships tomorrow"]);
    expect_words(&run_as_root(&["node", &script]), &["ships tomorrow"]);
    expect_words(
        &run(&[
            "node",
            "-e",
            "fetch('https://api.openai.com/v1/models', { headers: { authorization: 'Bearer sk-x' } }).then(async (a) => console.log(await a.text()))",
        ]),
        &["gpt-4.1-mini"],
    );
    // A sandbox inside, as browsers make it.
    let sandbox = ["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "id", "-u"];
    assert_eq!(run(&sandbox), "0\n");
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn how_a_session_was_started_is_recorded_and_shown_also_after_a_restart() {
    let mut scene = Scene::start();
    let guest = scene.guest();
    wait_until("the session", || scene.alive().len() == 1);
    let confined = json!({"mode": "confined"});
    let launch = |scene: &Scene| scene.json(&["status"])["sessions"][0]["launch"].clone();
    assert_eq!(launch(&scene), confined);
    assert_eq!(scene.events_of_kind("session_opened")[0]["launch"], confined);
    let alone = alone();
    scene.host.kill_daemon().unwrap();
    scene.host.start_daemon().unwrap();
    drop(alone);
    assert_eq!(launch(&scene), confined);
    let id = scene.alive().remove(0);
    expect_words(&scene.cli(&["status"]).stdout, &[&format!("{id}  support  confined\n")]);
    expect_words(&scene.cli(&["session", "show", &id]).stdout, &[", confined: "]);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_policy_can_start_an_agent_plain() {
    let policies = tempfile::tempdir().unwrap();
    let scene = Scene::start_plain(policies.path());
    let program = built("attempt").unwrap().display().to_string();
    let output = scene.run(&[&program, "socket=17,3,0", "io_uring_setup"]).checked().unwrap();
    let said = output.json_lines().remove(0);
    assert_eq!((&said["socket=17,3,0"], &said["io_uring_setup"]), (&json!("ok"), &json!("ok")));
    let guest = scene.guest();
    wait_until("the session", || scene.alive().len() == 1);
    assert_eq!(scene.json(&["status"])["sessions"][0]["launch"], json!({"mode": "plain"}));
    expect_words(&scene.cli(&["status"]).stdout, &["support  plain\n"]);
    assert_eq!(scene.events_of_kind("session_opened")[0]["launch"], json!({"mode": "plain"}));
    guest.end();
    scene.finish();
}
