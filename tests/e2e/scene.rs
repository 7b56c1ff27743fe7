// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every test plays on: a host of its own, a provider that answers as `api.openai.com`, and the
//! proof that nothing of them is left.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use enforcer_tests::command::{self, Interrupt, Output};
use enforcer_tests::host::HostOptions;
use enforcer_tests::provider::Options;
use enforcer_tests::{Authority, FakeUpstream, TestHost, agent_script, repository};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::guest::Guest;

/// Time for anything that a test waits for.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// A model that the bundle allows.
pub(crate) const MODEL: &str = "gpt-4.1-mini";
/// What must not reach the provider.
pub(crate) const ADDRESS: &str = "maria.lopez@example.com";

pub(crate) struct Scene {
    pub(crate) host: TestHost,
    pub(crate) openai: FakeUpstream,
    pub(crate) authority: Authority,
}

impl Scene {
    /// A host with its daemon on `policies/openai-agents`.
    pub(crate) fn start() -> Self {
        let mut scene = Self::set(&bundle("openai-agents"));
        scene.start_daemon();
        scene
    }

    /// The same on a copy of that bundle that does not confine the agent.
    pub(crate) fn start_plain(policies: &Path) -> Self {
        own_bundle("openai-agents", policies);
        let file = policies.join("policy.toml");
        let text = fs::read_to_string(&file).unwrap();
        let agent = "[agents.support]\n";
        fs::write(&file, text.replace(agent, &format!("{agent}launch = \"plain\"\n"))).unwrap();
        let mut scene = Self::set(policies);
        scene.start_daemon();
        scene
    }

    /// Starts the daemon; waits while a test is [`alone`].
    pub(crate) fn start_daemon(&mut self) {
        let _others = PORTS.read().unwrap_or_else(PoisonError::into_inner);
        self.host.start_daemon().unwrap();
    }

    /// The same without the daemon, on another bundle.
    pub(crate) fn set(policies: &Path) -> Self {
        let authority = Authority::new("Stand-in provider CA").unwrap();
        let openai = FakeUpstream::start(&authority, &Options::default()).unwrap();
        let resolve = vec![("api.openai.com".to_owned(), vec![openai.address()])];
        let host = host(policies, authority.pem(), resolve);
        Self { host, openai, authority }
    }

    /// Stops the daemon with `SIGSTOP`. Afterwards nothing of it runs: the kernel tells the threads one after the
    /// other, and until then one of them may still accept.
    pub(crate) fn pause_daemon(&self) -> Pid {
        let daemon = self.host.daemon_pid().unwrap();
        kill(daemon, Signal::SIGSTOP).unwrap();
        wait_until("all threads to stop", || {
            let threads = fs::read_dir(format!("/proc/{daemon}/task")).unwrap();
            threads.map(|thread| thread.unwrap().path().join("stat")).all(|stat| {
                // A thread may end meanwhile.
                let stat = fs::read_to_string(stat).unwrap_or_default();
                stat.rsplit_once(')').is_none_or(|(_, rest)| rest.starts_with(" T"))
            })
        });
        daemon
    }

    /// Lets it go on.
    pub(crate) fn resume_daemon(&self) {
        kill(self.host.daemon_pid().unwrap(), Signal::SIGCONT).unwrap();
    }

    /// Ends everything and fails if something is left.
    pub(crate) fn finish(mut self) {
        self.host.finish().unwrap();
    }

    /// A guarded process that does what it is asked.
    pub(crate) fn guest(&self) -> Guest {
        let words = guest_words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Guest::start(self.host.agent("support", &words).unwrap())
    }

    /// Runs a command as the agent, whatever comes of it.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.host.run("support", words).unwrap()
    }

    /// The same as `nobody`.
    pub(crate) fn run_as_nobody(&self, words: &[&str]) -> Output {
        let head = ["run", "--agent", "support", "--user", "65534", "--"];
        let mut command = self.host.enforcer(&[&head, words].concat()).unwrap();
        command.env("OPENAI_API_KEY", "sk-not-a-real-key");
        command::run(command, LIMIT, &Interrupt::default()).unwrap()
    }

    pub(crate) fn cli(&self, words: &[&str]) -> Output {
        self.host.cli(words).unwrap()
    }

    /// The output of a command that prints JSON, whatever its exit code.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let output = self.cli(&[words, &["--output", "json"]].concat());
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| {
            panic!("{words:?}: {error}\n{}{}", output.stdout, output.stderr)
        })
    }

    /// Ids of the sessions that are alive.
    pub(crate) fn alive(&self) -> Vec<String> {
        let status = self.json(&["status"]);
        let sessions = status["sessions"].as_array().unwrap();
        sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
    }

    /// All agents' sessions that are recorded, oldest first.
    pub(crate) fn sessions(&self) -> Vec<Value> {
        let listed = self.json(&["session", "list"]);
        let all = listed.as_array().unwrap().iter();
        all.filter(|session| !session["agent"].is_null()).cloned().collect()
    }

    /// The recorded events of a session.
    pub(crate) fn events(&self, id: &str) -> Vec<Value> {
        self.json(&["session", "show", id]).as_array().unwrap().clone()
    }

    /// The events of the only session there is, of one kind.
    pub(crate) fn events_of_kind(&self, kind: &str) -> Vec<Value> {
        let sessions = self.sessions();
        let id = sessions.last().expect("a session")["id"].as_str().unwrap();
        self.events(id).into_iter().filter(|event| event["event"] == kind).collect()
    }

    /// What the provider received as chats.
    pub(crate) fn chats(&self) -> Vec<Value> {
        let received = self.openai.log().received().into_iter();
        received
            .filter(|request| request.path == "/v1/chat/completions")
            .map(|request| request.json())
            .collect()
    }
}

static PORTS: RwLock<()> = RwLock::new(());

/// Until it is dropped no other test starts a daemon: one could take the ports of ours while it is down, and
/// answer its agents.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    PORTS.write().unwrap_or_else(PoisonError::into_inner)
}

/// A host whose daemon does not run yet.
pub(crate) fn host(
    policies: &Path,
    upstream_ca: &str,
    resolve: Vec<(String, Vec<SocketAddr>)>,
) -> TestHost {
    let options = HostOptions {
        policies: policies.to_owned(),
        upstream_ca: upstream_ca.to_owned(),
        resolve,
        interrupt: Interrupt::default(),
    };
    TestHost::new(&options).unwrap()
}

/// The process that does what it is asked, guarded or not.
pub(crate) fn guest_words() -> Vec<String> {
    let python = enforcer_tests::python().unwrap();
    vec![python.display().to_string(), agent_script("on_demand.py").display().to_string()]
}

/// A bundle of this repository.
pub(crate) fn bundle(name: &str) -> PathBuf {
    repository().join("policies").join(name)
}

/// A copy of a bundle that a test may change.
pub(crate) fn own_bundle(name: &str, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(bundle(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    command::poll(what, LIMIT, &Interrupt::default(), || Ok(is_so().then_some(()))).unwrap();
}

/// Fails unless all the words are there.
pub(crate) fn expect_words(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
}
