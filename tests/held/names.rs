// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an agent tries on the names by which policy and settings are reached. Root owns all of them.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use enforcer_tests::built;
use enforcer_tests::command::{self, Interrupt};
use enforcer_tests::host::COMMAND_LIMIT;
use nix::sys::statfs::{FsType, statfs};
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{Rig, bundle, furnish};

const NOBODY: &str = "65534";
/// Where a process is that has unmounted the tree in which names are held.
const LEFT_BEHIND: &str = "rename_left_behind";
/// `linux/magic.h`: file systems that a kernel unpacks its first files into.
const FIRST_ROOTS: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// What is tried below a folder, and what comes of it for a confined root. A `?` stands for what only has to be
/// refused.
type Attempt = (String, &'static str);

/// A process of root that nobody guards.
struct Neighbor(Child);

impl Neighbor {
    fn start() -> Self {
        Self(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn root(&self) -> String {
        format!("/proc/{}/root", self.0.id())
    }
}

impl Drop for Neighbor {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Each goes through beside, where nothing is held. In this order: the last ones undo nothing.
fn attempts(folder: &Path, neighbor: &Neighbor) -> Vec<Attempt> {
    let f = folder.display();
    let mut all = Vec::new();
    let mut add = |what: String, outcome| all.push((what, outcome));
    for name in ["etc", "etc/enforcer", "etc/enforcer/policies", "link", "state", "enforcer", "bpf"]
    {
        let mine = Path::new(name).with_file_name("mine");
        let mine = mine.display();
        add(format!("rename={f}/{name},{f}/{name}.gone"), "EBUSY");
        add(format!("exchange={f}/{name},{f}/{mine}"), "EBUSY");
        add(format!("exchange={f}/{mine},{f}/{name}"), "EBUSY");
    }
    // Two folders on the way are two mounts.
    add(format!("rename={f}/etc/enforcer,{f}/gone"), "EXDEV");
    for name in ["enforcer.toml", "upstream-ca.pem"] {
        add(format!("rename={f}/{name},{f}/gone"), "EBUSY");
        add(format!("exchange={f}/mine.toml,{f}/{name}"), "EBUSY");
        add(format!("write={f}/{name}"), "EROFS");
        add(format!("link={f}/{name},{f}/gone"), "EXDEV");
    }
    // The same by other ways to it.
    add(format!("rename={f}/link/enforcer,{f}/etc/gone"), "EBUSY");
    add(format!("rename=/proc/self/root{f}/etc,{f}/gone"), "EBUSY");
    add(format!("rename={f}/etc,/proc/self/root{f}/gone"), "EBUSY");
    add(format!("rename={}{f}/etc,{f}/gone", neighbor.root()), "EACCES");
    add(format!("write={}{f}/link/enforcer/policies/policy.toml", neighbor.root()), "EACCES");
    add(format!("userns/rename={f}/etc,{f}/gone"), "EBUSY");
    add(format!("userns/{LEFT_BEHIND}={f},etc,gone,{f}/root"), "EPERM");
    // Inside what is read.
    let policies = format!("{f}/link/enforcer/policies");
    add(format!("make={policies}/more"), "EROFS");
    add(format!("rename={policies}/policy.toml,{policies}/gone"), "EROFS");
    add(format!("write={policies}/policy.toml"), "EROFS");
    add(format!("link={policies}/policy.toml,{f}/gone"), "EXDEV");
    add(format!("make={f}/enforcer/more"), "EROFS");
    add(format!("rename={f}/enforcer/enforcer.sock,{f}/enforcer/gone"), "EROFS");
    // What cannot be undone, what is reached by another name first.
    add(format!("remove={policies}/policy.toml"), "EROFS");
    add(format!("replace={f}/my-link,{f}/link"), "EBUSY");
    add(format!("remove={f}/link"), "EBUSY");
    add(format!("replace={f}/mine.toml,{f}/enforcer.toml"), "EBUSY");
    add(format!("remove={f}/enforcer.toml"), "EBUSY");
    add(format!("remove={f}/enforcer/enforcer.sock"), "EROFS");
    all
}

/// What is tried on the host itself only: beside, nobody wants to lose it.
fn attempts_on_the_host(rig: &Rig) -> Vec<Attempt> {
    let folder = rig.host.folder();
    let above = folder.parent().unwrap();
    let program = built("enforcer").unwrap();
    let held = [folder, above, program.as_path(), program.parent().unwrap()];
    let rename = |path: &Path| format!("rename={},{}.gone", path.display(), path.display());
    let mut all: Vec<Attempt> = held.map(|path| (rename(path), "EBUSY")).into();
    for name in ["etc", "etc/enforcer", "link"] {
        all.push((format!("userns/unmount={}", rig.path(name).display()), "?"));
    }
    all.push((format!("mount={}", rig.path("etc").display()), "EPERM"));
    // Busy before it is looked at whether it may be written: the daemon runs it.
    all.push((format!("write={}", program.display()), "ETXTBSY"));
    all
}

fn words(attempts: &[Attempt]) -> Vec<String> {
    let program = built("attempt").unwrap().display().to_string();
    std::iter::once(program).chain(attempts.iter().map(|(what, _)| what.clone())).collect()
}

/// Fails unless each came out as it says; `ok` is never refused.
fn check(said: &Value, expect: impl Iterator<Item = Attempt>) {
    let is_wrong = |what: &str, outcome: &str| match outcome {
        "?" => said[what] == "ok" || !said[what].is_string(),
        _ => said[what] != outcome,
    };
    let wrong = expect.filter(|(what, outcome)| is_wrong(what, outcome));
    let wrong: Vec<String> =
        wrong.map(|(what, outcome)| format!("{what}: {} ({outcome})", said[&what])).collect();
    assert!(wrong.is_empty(), "found (expected):\n  {}", wrong.join("\n  "));
}

/// What this kernel started from cannot be left behind.
fn has_first_root() -> bool {
    let kind = statfs("/").unwrap().filesystem_type();
    FIRST_ROOTS.into_iter().any(|first| kind == FsType(first))
}

/// Everything goes through where nothing is held.
fn check_beside(neighbor: &Neighbor) {
    let folder =
        TempDir::with_prefix_in("held-", built("attempt").unwrap().parent().unwrap()).unwrap();
    let folder = folder.path();
    furnish(folder);
    for name in ["state", "enforcer", "bpf"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    for name in ["enforcer.toml", "upstream-ca.pem", "enforcer/enforcer.sock"] {
        fs::write(folder.join(name), "").unwrap();
    }
    let attempts = attempts(folder, neighbor);
    let words = words(&attempts);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    let output = command::run(command, COMMAND_LIMIT, &Interrupt::default());
    let said = output.unwrap().checked().unwrap().json_lines().remove(0);
    let is_tried = |(what, _): &Attempt| !(has_first_root() && what.contains(LEFT_BEHIND));
    let expect = attempts.into_iter().filter(is_tried).map(|(what, _)| (what, "ok"));
    check(&said, expect);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_confined_root_renames_and_replaces_nothing_that_leads_to_the_policy() {
    let rig = Rig::start();
    let neighbor = Neighbor::start();
    check_beside(&neighbor);
    let mut attempts = attempts(rig.host.folder(), &neighbor);
    attempts.extend(attempts_on_the_host(&rig));
    let words = words(&attempts);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = rig.run_as("root", &words).checked().unwrap();
    check(&output.json_lines().remove(0), attempts.into_iter());
    assert_eq!(rig.json(&["status"])["is_healthy"], true);
    rig.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_confined_user_renames_and_replaces_nothing_that_leads_to_the_policy() {
    let rig = Rig::start();
    let neighbor = Neighbor::start();
    let mut attempts = attempts(rig.host.folder(), &neighbor);
    attempts.extend(attempts_on_the_host(&rig));
    let words = words(&attempts);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = rig.run_as(NOBODY, &words).checked().unwrap();
    check(&output.json_lines().remove(0), attempts.into_iter().map(|(what, _)| (what, "?")));
    assert_eq!(rig.json(&["status"])["is_healthy"], true);
    rig.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_folder_that_is_open_where_an_agent_starts_leads_past_no_name() {
    let rig = Rig::start();
    let program = built("attempt").unwrap().display().to_string();
    let inherited = ["rename=/proc/self/fd/7/policies,/proc/self/fd/7/gone", "descriptor=7"];
    let agent =
        rig.host.agent("support", &[&program, "rename=policies,gone", inherited[0], inherited[1]]);
    let agent = agent.unwrap();
    let folder = rig.path("etc/enforcer");
    let line = format!("exec 7<{}; exec \"$@\"", folder.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &line, "sh"]).arg(agent.get_program()).args(agent.get_args());
    shell.current_dir(&folder);
    let output =
        command::run(shell, COMMAND_LIMIT, &Interrupt::default()).unwrap().checked().unwrap();
    let said = output.json_lines().remove(0);
    let found = [&said["rename=policies,gone"], &said[inherited[0]], &said[inherited[1]]];
    assert_eq!(found, ["EBUSY", "ENOENT", "EBADF"]);
    rig.finish();
}

/// Renames each folder and link on the way, and makes new ones with a policy of its own in their places.
fn usurpation(rig: &Rig) -> String {
    let f = rig.host.folder().display();
    let tree = format!(
        "mkdir -p {f}/etc/enforcer/policies; cp {f}/mine/enforcer/policies/policy.toml {f}/etc/enforcer/policies/"
    );
    let mut script = String::new();
    for name in ["", "/etc", "/etc/enforcer", "/etc/enforcer/policies", "/link"] {
        script += &format!("mv {f}{name} {f}{name}.gone && {{ {tree}; }}\n");
    }
    script +=
        &format!("rm -f {f}/link; ln -s mine {f}/link; mv -fT {f}/my-link {f}/link\n{tree}\n");
    // However much of it failed.
    script + "true"
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_policy_that_an_agent_puts_in_the_place_of_the_real_one_is_not_in_force() {
    let rig = Rig::start();
    let first = rig.version();
    let script = usurpation(&rig);
    for user in ["root", NOBODY] {
        rig.run_as(user, &["sh", "-c", &script]).checked().unwrap();
    }
    // What a person writes is in force two looks later, and nothing else was before.
    rig.edit("etc/enforcer/policies", &bundle("second"));
    assert_eq!(rig.loaded(), [first, rig.version()]);
    assert_eq!(rig.json(&["status"])["is_healthy"], true);
    assert!(rig.events("fault_began").is_empty(), "{:?}", rig.events("fault_began"));
    rig.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_a_person_does_outside_goes_through_while_an_agent_holds_the_names() {
    let rig = Rig::start();
    let mut agent = rig.host.agent("support", &["sh", "-c", "echo begun; read -r line"]).unwrap();
    let mut agent = agent.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    agent.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    fs::rename(rig.path("etc"), rig.path("moved")).unwrap();
    fs::rename(rig.path("mine"), rig.path("etc")).unwrap();
    rig.reload();
    rig.wait_for(&rig.path("etc/enforcer/policies"));
    fs::remove_dir_all(rig.path("moved")).unwrap();
    drop(agent.stdin.take());
    agent.wait().unwrap();
    rig.finish();
}
