// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A host whose bundle lies some folders deep and is reached through a link.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use enforcer_tests::command::{self, Interrupt, Output};
use enforcer_tests::{Authority, HostOptions, TestHost};
use enforcer_user::config::bundle::read_sources;
use nix::sys::signal::{Signal, kill};
use serde_json::Value;

/// Time for anything that a test waits for.
const LIMIT: Duration = Duration::from_secs(60);
/// Session of the host's own events.
const HOST_SESSION: &str = "0000000000000000";

pub(crate) struct Rig {
    pub(crate) host: TestHost,
}

impl Rig {
    /// A daemon on `link/enforcer/policies` below its folder, where `link` leads to `etc`.
    pub(crate) fn start() -> Self {
        let authority = Authority::new("Nobody's CA").unwrap();
        let options = HostOptions {
            policies: PathBuf::from("/nowhere"),
            upstream_ca: authority.pem().to_owned(),
            resolve: Vec::new(),
            interrupt: Interrupt::default(),
        };
        let mut host = TestHost::new(&options).unwrap();
        furnish(host.folder());
        let policies = host.folder().join("link/enforcer/policies");
        let text = fs::read_to_string(host.config()).unwrap();
        fs::write(host.config(), text.replace("/nowhere", policies.to_str().unwrap())).unwrap();
        host.start_daemon().unwrap();
        Self { host }
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.host.folder().join(inside)
    }

    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let output = self.host.cli(&[words, &["--output", "json"]].concat()).unwrap();
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| {
            panic!("{words:?}: {error}\n{}{}", output.stdout, output.stderr)
        })
    }

    /// Runs a command as the agent, as this user.
    pub(crate) fn run_as(&self, user: &str, words: &[&str]) -> Output {
        let head = ["run", "--agent", "support", "--user", user, "--"];
        let command = self.host.enforcer(&[&head, words].concat()).unwrap();
        command::run(command, LIMIT, &Interrupt::default()).unwrap()
    }

    /// The version of the policy that is in force.
    pub(crate) fn version(&self) -> Value {
        self.json(&["status"])["policy"]["version"].clone()
    }

    /// The recorded events of the host of one kind.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let shown = self.json(&["session", "show", HOST_SESSION]);
        let events = shown.as_array().unwrap().iter();
        events.filter(|event| event["event"] == kind).cloned().collect()
    }

    /// Every version that was in force so far.
    pub(crate) fn loaded(&self) -> Vec<Value> {
        self.events("policy_loaded").iter().map(|event| event["policy"].clone()).collect()
    }

    /// What a person does: another text in the same file. Returns when it is in force, two looks later.
    pub(crate) fn edit(&self, folder: &str, text: &str) {
        fs::write(self.path(folder).join("policy.toml"), text).unwrap();
        self.wait_for(&self.path(folder));
    }

    /// Waits until the bundle of a folder is in force.
    pub(crate) fn wait_for(&self, folder: &Path) {
        let version = read_sources(folder).unwrap().version().to_string();
        wait_until("the bundle", || self.version() == version.as_str());
    }

    /// Tells the daemon that the folder is another one now.
    pub(crate) fn reload(&self) {
        kill(self.host.daemon_pid().unwrap(), Signal::SIGHUP).unwrap();
    }

    pub(crate) fn finish(mut self) {
        self.host.finish().unwrap();
    }
}

/// A bundle that names one more agent.
pub(crate) fn bundle(more: &str) -> String {
    format!("version = 1\nmode = \"enforce\"\n[agents.support]\n[agents.{more}]\n")
}

/// The tree of bundle and link, and what somebody would like to have in their places.
pub(crate) fn furnish(folder: &Path) {
    fs::create_dir_all(folder.join("etc/enforcer/policies")).unwrap();
    fs::write(folder.join("etc/enforcer/policies/policy.toml"), bundle("first")).unwrap();
    symlink("etc", folder.join("link")).unwrap();
    fs::create_dir_all(folder.join("mine/enforcer/policies")).unwrap();
    fs::write(folder.join("mine/enforcer/policies/policy.toml"), bundle("mine")).unwrap();
    for beside in ["etc/mine", "etc/enforcer/mine"] {
        fs::create_dir(folder.join(beside)).unwrap();
    }
    fs::create_dir_all(folder.join("root/old")).unwrap();
    fs::write(folder.join("mine.toml"), "").unwrap();
    symlink("mine", folder.join("my-link")).unwrap();
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    command::poll(what, LIMIT, &Interrupt::default(), || Ok(is_so().then_some(()))).unwrap();
}
