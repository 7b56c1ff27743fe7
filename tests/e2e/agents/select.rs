// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Agents that nobody starts with `enforcer run`: the bundle says which processes they are.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::guest::Guest;
use crate::scene::{ADDRESS, Scene, alone, guest_words, own_bundle, wait_until};

/// Nobody listens here.
const CLOSED: &str = "127.0.0.1:1";

/// A scene with a bundle of its own, and a program that only this test runs.
pub(crate) struct Chosen {
    pub(crate) scene: Scene,
    program: PathBuf,
}

impl Chosen {
    /// The program is a copy of another one.
    pub(crate) fn set(original: &str) -> Self {
        let scene = Scene::set(Path::new("/nowhere"));
        let folder = scene.host.folder().join("bundle");
        own_bundle("openai-agents", &folder);
        let text = fs::read_to_string(scene.host.config()).unwrap();
        fs::write(scene.host.config(), text.replace("/nowhere", folder.to_str().unwrap())).unwrap();
        let program = scene.host.folder().join("program");
        fs::copy(fs::canonicalize(original).unwrap(), &program).unwrap();
        Self { scene, program }
    }

    /// Says in the bundle who the agent is; nothing for nobody.
    pub(crate) fn select(&self, entries: &str) {
        let path = self.scene.host.folder().join("bundle/policy.toml");
        let text = fs::read_to_string(&path).unwrap();
        let others = text.lines().filter(|line| !line.starts_with("match ="));
        let mut lines: Vec<&str> = others.collect();
        let section = lines.iter().position(|line| *line == "[agents.support]").unwrap();
        let selected = format!("match = [{entries}]");
        if !entries.is_empty() {
            lines.insert(section + 1, &selected);
        }
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    }

    fn by_exe(&self) -> String {
        format!("{{ exe = {:?} }}", self.program.display().to_string())
    }

    /// A command below the cgroup of the programs, trusting the CA as an operator would have it.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]);
        command.arg(self.scene.host.cgroup()).args(words);
        for variable in ["SSL_CERT_FILE", "CURL_CA_BUNDLE"] {
            command.env(variable, self.scene.host.state().join("trust/bundle.pem"));
        }
        command.env("OPENAI_API_KEY", "sk-not-a-real-key");
        command
    }

    /// The program as a shell whose child does what it is asked.
    fn guest(&self) -> Guest {
        let words = guest_words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let shell = [self.program.to_str().unwrap(), "-c", "\"$@\"; exit $?", "sh"];
        Guest::start(self.command(&[&shell[..], &words].concat()))
    }

    /// Whether a process is guarded: the proxy answers instead of a port at which nobody listens.
    fn is_guarded(guest: &mut Guest) -> bool {
        match guest.connect(CLOSED)["error"].as_str() {
            None => true,
            Some("ECONNREFUSED") => false,
            Some(other) => panic!("{other}"),
        }
    }

    fn opened(&self) -> Vec<Value> {
        let sessions = self.scene.sessions();
        let ids = sessions.iter().map(|session| session["id"].as_str().unwrap());
        let events = ids.flat_map(|id| self.scene.events(id));
        events.filter(|event| event["event"] == "session_opened").collect()
    }
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_program_that_the_bundle_names_is_an_agent_from_start_to_end() {
    let mut chosen = Chosen::set("/bin/sh");
    chosen.select(&chosen.by_exe());
    chosen.scene.start_daemon();
    let to = chosen.scene.openai.address();
    let mut beside = Guest::unguarded();
    let mut guest = chosen.guest();
    assert_eq!(guest.chat(&format!("write to {ADDRESS}"))["exception"], Value::Null);
    assert!(!chosen.scene.chats()[0].to_string().contains(ADDRESS), "the provider got the address");
    assert!(Chosen::is_guarded(&mut guest) && !Chosen::is_guarded(&mut beside));

    let alive = chosen.scene.alive();
    assert_eq!(alive.len(), 1);
    let opened = chosen.opened();
    let [opened] = &opened[..] else { panic!("{opened:?}") };
    assert_eq!((&opened["agent"], &opened["process"]["uid"]), (&json!("support"), &json!(0)));
    assert_eq!(opened["selected"]["exe"], json!(chosen.program));
    assert_eq!(opened["command"][0], json!(chosen.program));
    assert_ne!(opened["selected"]["started_ns"], json!(0));
    assert_ne!(opened["selected"]["cgroup"], json!(0));

    let alone = alone();
    chosen.scene.host.kill_daemon().unwrap();
    assert_eq!(guest.connect(to)["error"], "ECONNREFUSED");
    assert_eq!(beside.connect(to)["error"], Value::Null);
    chosen.scene.host.start_daemon().unwrap();
    drop(alone);
    assert_eq!(chosen.scene.alive(), alive, "the session goes on");
    assert_eq!(guest.chat("again")["exception"], Value::Null);
    let uninstalled = chosen.scene.cli(&["uninstall"]);
    assert_ne!(uninstalled.code, Some(0));

    guest.end();
    beside.end();
    wait_until("the end of the session", || chosen.scene.alive().is_empty());
    assert_eq!(chosen.opened().len(), 1, "it began once");
    assert_ne!(chosen.scene.sessions()[0]["ended"], Value::Null);
    chosen.scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn programs_that_end_at_once_are_served_and_recorded_each_as_a_session() {
    const PROGRAMS: usize = 30;
    let mut chosen = Chosen::set("/usr/bin/curl");
    chosen.select(&chosen.by_exe());
    chosen.scene.start_daemon();
    let words = [
        chosen.program.to_str().unwrap(),
        "--silent",
        "--show-error",
        "--max-time",
        "30",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        "https://api.openai.com/v1/files",
    ];
    let curls: Vec<_> = (0..PROGRAMS)
        .map(|_| {
            let mut command = chosen.command(&words);
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for curl in curls {
        let output = curl.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "403", "the answer of a rule");
    }
    wait_until("the end of the sessions", || chosen.scene.alive().is_empty());
    assert_eq!(chosen.opened().len(), PROGRAMS);
    for id in chosen.scene.sessions().iter().map(|session| session["id"].as_str().unwrap()) {
        let events = chosen.scene.events(id);
        let opened = events.iter().find(|event| event["event"] == "exchange_opened").unwrap();
        let seen = &opened["process"]["details"];
        assert_eq!(seen["exe"], json!(chosen.program), "{opened}");
        assert!(seen["started_ns"].as_u64() > Some(0) && seen["cgroup"].as_u64() > Some(0));
        assert_eq!(seen["ancestors"][0], json!(std::process::id()));
    }
    let ended = |session: &Value| !session["ended"].is_null() && session["denied"] == json!(1);
    assert!(chosen.scene.sessions().iter().all(ended), "{:?}", chosen.scene.sessions());
    chosen.scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_process_that_runs_already_is_adopted_with_its_children_and_its_connections_end() {
    let mut chosen = Chosen::set("/bin/sh");
    chosen.select(&chosen.by_exe());
    let to = chosen.scene.openai.address().to_string();
    let mut guest = chosen.guest();
    assert_eq!(guest.ask(&json!({"do": "hold", "to": to}))["error"], Value::Null);
    assert_eq!(guest.ask(&json!({"do": "use_held"}))["error"], Value::Null);
    assert!(!Chosen::is_guarded(&mut guest));
    chosen.scene.start_daemon();
    // It is so when the daemon says that it is ready.
    assert_eq!(guest.ask(&json!({"do": "use_held"}))["error"], "ECONNABORTED");
    assert!(Chosen::is_guarded(&mut guest));
    let children = guest.ask(&json!({"do": "children", "count": 20, "to": CLOSED}));
    assert_eq!(children, json!({"None": 20}));
    let alive = chosen.scene.alive();
    assert_eq!(alive.len(), 1, "the shell and its child are one session");
    let events = chosen.scene.events(&alive[0]);
    assert_eq!(events[0]["event"], "session_opened");
    let cut: Vec<&Value> =
        events.iter().filter(|event| event["event"] == "connections_cut").collect();
    let [cut] = cut[..] else { panic!("{events:?}") };
    assert_eq!(cut["count"], json!(1));
    guest.end();
    wait_until("the end of the session", || chosen.scene.alive().is_empty());
    chosen.scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_change_of_the_bundle_adopts_and_never_sets_free() {
    let mut chosen = Chosen::set("/bin/sh");
    chosen.scene.start_daemon();
    let mut guest = chosen.guest();
    assert!(!Chosen::is_guarded(&mut guest), "it is nobody's agent yet");
    chosen.select(&chosen.by_exe());
    wait_until("the session", || chosen.scene.alive().len() == 1);
    assert!(Chosen::is_guarded(&mut guest));
    chosen.select("");
    wait_until("the old selectors to be gone", || !Chosen::is_guarded(&mut chosen.guest()));
    assert!(Chosen::is_guarded(&mut guest), "an agent was set free");
    guest.end();
    wait_until("the end of the sessions", || chosen.scene.alive().is_empty());
    chosen.scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_program_with_another_hash_than_the_bundle_asks_for_is_not_the_agent() {
    let mut chosen = Chosen::set("/bin/sh");
    let hash = Command::new("sha256sum").arg(&chosen.program).output().unwrap().stdout;
    let hash = String::from_utf8(hash).unwrap();
    let hash = hash.split(' ').next().unwrap();
    chosen.select(&format!(
        "{{ exe = {:?}, sha256 = \"{hash}\" }}",
        chosen.program.display().to_string()
    ));
    chosen.scene.start_daemon();
    let is_free = |chosen: &Chosen| {
        let mut guest = chosen.guest();
        let is_free = !Chosen::is_guarded(&mut guest);
        guest.end();
        is_free
    };
    assert!(!is_free(&chosen));
    let mut changed = fs::read(&chosen.program).unwrap();
    changed.push(0);
    fs::remove_file(&chosen.program).unwrap();
    fs::write(&chosen.program, &changed).unwrap();
    fs::set_permissions(&chosen.program, Permissions::from_mode(0o755)).unwrap();
    wait_until("the changed file to be seen", || is_free(&chosen));
    wait_until("the log to say so", || {
        chosen.scene.host.daemon_log().contains("does not have the hash")
    });
    changed.pop();
    fs::remove_file(&chosen.program).unwrap();
    fs::write(&chosen.program, &changed).unwrap();
    fs::set_permissions(&chosen.program, Permissions::from_mode(0o755)).unwrap();
    wait_until("the old file to be seen", || !is_free(&chosen));
    wait_until("the end of the sessions", || chosen.scene.alive().is_empty());
    chosen.scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_user_and_a_cgroup_that_the_bundle_names_are_the_agent() {
    let mut chosen = Chosen::set("/bin/sh");
    let root = enforcer_tests::cgroup::mount().unwrap();
    let cgroup = chosen.scene.host.cgroup().join("pool");
    let path = Path::new("/").join(cgroup.strip_prefix(root).unwrap());
    // The user is meant on this host's cgroup alone: the programs are attached there.
    chosen.select(&format!(
        "{{ user = \"65534\" }}, {{ cgroup = {:?} }}",
        path.display().to_string()
    ));
    chosen.scene.start_daemon();
    let words = guest_words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is_guarded = |before: &[&str]| {
        let mut guest = Guest::start(chosen.command(&[before, &words].concat()));
        let is_guarded = Chosen::is_guarded(&mut guest);
        guest.end();
        is_guarded
    };
    assert!(!is_guarded(&["env"]), "nobody selected it");
    assert!(is_guarded(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]));
    fs::create_dir(&cgroup).unwrap();
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", cgroup.display());
    assert!(is_guarded(&["sh", "-c", &enter, "sh"]), "made after the bundle was in force");
    wait_until("the end of the sessions", || chosen.scene.alive().is_empty());
    assert_eq!(chosen.opened().len(), 2);
    fs::remove_dir(&cgroup).unwrap();
    chosen.scene.finish();
}
