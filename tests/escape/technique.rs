// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The frame that every technique is tried in.
//!
//! A technique is a value: a script, and what has to become of it. It is tried without a guard first and must
//! get out, else it proves nothing. Then it is tried guarded, by root and by an ordinary user: nothing may
//! get out, and the attempt must be on record. At last the programs that hold it are switched off one after
//! the other, security hooks first: up to the last one nothing may get out, and then it must.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use enforcer_common::{Hook, Refusal};
use enforcer_tests::lab::child::{self, Script};
use enforcer_tests::lab::wire::{MARK, World, contains};
use enforcer_tests::lab::{Lab, PATIENCE, isolated};
use enforcer_tests::slowed;
use enforcer_user::kernel::Tier;
use nix::unistd::getpid;
use tempfile::TempDir;

use crate::stranger::Stranger;

/// Longest that something which has to get out is waited for.
static OUT: LazyLock<Duration> = LazyLock::new(|| slowed(Duration::from_secs(10)));
/// Names the folder where `cargo xtask test --vm` puts the programs of the techniques, compiled.
const PROGRAMS: &str = "ENFORCER_TEST_PROGRAMS";
/// What a script says when it got what it must not have and nothing on the wire shows it.
const ESCAPED: &str = "escaped";
/// The user `nobody`.
const NOBODY: u32 = 65_534;

/// What every script may use, besides what `child` offers.
const PRELUDE: &str = include_str!("prelude.py");

/// How a technique shows that it got out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A frame with the marker arrives at the far end.
    Wire,
    /// Any frame arrives at the far end that the host did not send by itself.
    Frame,
    /// A service of this host that is not the agent's receives the marker.
    Stranger,
    /// The proxy or the resolver is reached, and the kernel does not know by whom.
    NoOrigin,
    /// The script says so.
    Says,
}

/// What has to become of a guarded attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It arrives at the proxy or the resolver, which know that it wanted to go here.
    Redirected(&'static str),
    /// A hook refuses it and says so.
    Refused(Hook, Refusal),
    /// The kernel refuses it to anybody, guarded or not, with this errno: there is nothing to record.
    Kernel(&'static str),
    /// Nothing gets out, and nothing needs to be recorded: it ends where the session may go.
    Harmless,
}

/// What the test does while the script runs.
pub(crate) type Companion = fn(&World, &mut Script);

/// A way to get past the proxy.
#[derive(Clone)]
pub(crate) struct Technique {
    script: &'static str,
    program: Option<&'static str>,
    helper: Option<&'static str>,
    setup: Option<&'static str>,
    companion: Option<Companion>,
    way: Way,
    root: Outcome,
    nobody: Outcome,
    absent: &'static [&'static str],
    held_by: &'static [&'static str],
    hardened_by: &'static [&'static str],
    hardened: Option<Outcome>,
    is_daemon_down: bool,
    starts_outside: bool,
    is_mutated_as_root: bool,
    name: String,
}

impl Technique {
    /// A technique that puts the marker on the wire, to be redirected or refused for everybody alike.
    pub(crate) fn new(outcome: Outcome, script: &'static str) -> Self {
        Self {
            script,
            program: None,
            helper: None,
            setup: None,
            companion: None,
            way: Way::Wire,
            root: outcome,
            nobody: outcome,
            absent: &[],
            held_by: &[],
            hardened_by: &[],
            hardened: None,
            is_daemon_down: false,
            starts_outside: false,
            is_mutated_as_root: false,
            name: thread::current().name().unwrap_or_default().to_owned(),
        }
    }

    /// The programs that hold it, in the order in which they are switched off.
    pub(crate) fn held_by(mut self, programs: &'static [&'static str]) -> Self {
        self.held_by = programs;
        self
    }

    /// The security hooks that hold it besides, where they are in force; they are switched off first.
    pub(crate) fn hardened_by(mut self, hooks: &'static [&'static str]) -> Self {
        self.hardened_by = hooks;
        self
    }

    /// What becomes of it where the security hooks are in force, where that differs.
    pub(crate) fn where_hardened(mut self, outcome: Outcome) -> Self {
        self.hardened = Some(outcome);
        self
    }

    /// How it shows that it got out.
    pub(crate) fn gets_out(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// What becomes of it when an ordinary user tries it, where that differs.
    pub(crate) fn for_nobody(mut self, outcome: Outcome) -> Self {
        self.nobody = outcome;
        self
    }

    /// A C program of `programs`, whose path is in `PROGRAM`.
    pub(crate) fn with_program(mut self, name: &'static str) -> Self {
        self.program = Some(name);
        self
    }

    /// An unguarded process of the same user beside it; it says `ready` first.
    pub(crate) fn with_helper(mut self, script: &'static str) -> Self {
        self.helper = Some(script);
        self
    }

    /// What root prepares once with a shell.
    pub(crate) fn after(mut self, setup: &'static str) -> Self {
        self.setup = Some(setup);
        self
    }

    /// What the test does while the script runs.
    pub(crate) fn with(mut self, companion: Companion) -> Self {
        self.companion = Some(companion);
        self
    }

    /// What a kernel answers that does not have what is tried: then that is said aloud.
    pub(crate) fn or_absent(mut self, answers: &'static [&'static str]) -> Self {
        self.absent = answers;
        self
    }

    /// Nobody listens on the ports of the proxy and the resolver.
    pub(crate) fn while_the_daemon_is_down(mut self) -> Self {
        self.is_daemon_down = true;
        self
    }

    /// The script starts unguarded and becomes guarded by `enter()`.
    pub(crate) fn starting_outside(mut self) -> Self {
        self.starts_outside = true;
        self
    }

    /// Only root gets out where what holds it is switched off.
    pub(crate) fn mutated_as_root(mut self) -> Self {
        self.is_mutated_as_root = true;
        self
    }

    /// Tries it in all ways.
    pub(crate) fn prove(self) {
        // Two worlds: what the first act left on its way must not be taken for something of the second. They
        // wait most of the time, so they do it at once where the kernel is known to have what is tried.
        let first = self.clone();
        let (tell, is_there) = mpsc::channel();
        let first_act = thread::spawn(move || {
            isolated(move || tell.send(Stage::new(first).works()).unwrap());
        });
        if self.absent.is_empty() || is_there.recv().is_ok_and(|is_there| is_there) {
            isolated(move || {
                let mut stage = Stage::new(self);
                stage.is_held();
                stage.gets_out_without_what_holds_it();
            });
        }
        if let Err(panic) = first_act.join() {
            resume_unwind(panic);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    Root,
    Nobody,
}

impl User {
    fn id(self) -> u32 {
        match self {
            Self::Root => 0,
            Self::Nobody => NOBODY,
        }
    }
}

/// One technique, the world and, from the second act on, the programs.
struct Stage {
    technique: Technique,
    world: World,
    stranger: Option<Stranger>,
    lab: Option<Lab>,
    folder: TempDir,
}

impl Stage {
    fn new(technique: Technique) -> Self {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        if let Some(name) = technique.program {
            provide(name, folder.path());
        }
        let world = World::new();
        if let Some(setup) = technique.setup {
            let status = Command::new("sh").args(["-ec", setup]).status().unwrap();
            assert!(status.success(), "the setup fails");
        }
        let stranger = (technique.way == Way::Stranger).then(Stranger::new);
        Self { technique, world, stranger, lab: None, folder }
    }

    /// First act: without a guard it gets out, or this kernel does not have it.
    fn works(&mut self) -> bool {
        let mut users = [User::Root, User::Nobody];
        // Who gets nothing out comes first: the last packets of a connection arrive after its script has ended.
        users.sort_by_key(|user| !matches!(self.outcome(*user), Outcome::Kernel(_)));
        for user in users {
            let expected = self.outcome(user);
            let lines = self.run(user);
            if let [answer] = lines.as_slice()
                && self.technique.absent.contains(&answer.as_str())
            {
                // Not through the macros, which a passing test keeps to itself.
                let name = &self.technique.name;
                let mut stderr = std::io::stderr();
                let said = writeln!(stderr, "SKIPPED: {name}: this kernel answers {answer}");
                said.unwrap();
                return false;
            }
            if let Outcome::Kernel(answer) = expected {
                assert_eq!(lines.last().map(String::as_str), Some(answer), "{user:?}: {lines:?}");
                self.stays_inside(&lines, "what the kernel refuses");
            } else {
                let proof = "the technique does not work here: the test proves nothing";
                self.got_out(&lines).unwrap_or_else(|seen| panic!("{user:?}: {proof}: {seen}"));
            }
        }
        true
    }

    /// Second act: guarded, nothing gets out, and the attempt is on record.
    fn is_held(&mut self) {
        let mut lab = Lab::new();
        if self.technique.is_daemon_down {
            lab.close_doors();
        }
        self.lab = Some(lab);
        for user in [User::Root, User::Nobody] {
            let lines = self.run(user);
            self.stays_inside(&lines, &format!("guarded, {user:?}"));
            self.is_recorded(user, self.held_outcome(user), &lines);
        }
    }

    /// Third act: without the programs that hold it, it gets out; with one of them it does not.
    fn gets_out_without_what_holds_it(&mut self) {
        let user = match self.technique.nobody {
            Outcome::Kernel(_) => User::Root,
            _ if self.technique.is_mutated_as_root => User::Root,
            _ => User::Nobody,
        };
        self.is_held_without_security_hooks(user);
        let programs = self.technique.held_by;
        let Some((last, others)) = programs.split_last() else {
            assert!(matches!(self.technique.root, Outcome::Kernel(_)), "something has to hold it");
            return;
        };
        for program in others {
            self.lab().switch_off(program);
            let lines = self.run(user);
            self.stays_inside(&lines, &format!("without `{program}`"));
        }
        self.lab().switch_off(last);
        let lines = self.run(user);
        self.got_out(&lines).unwrap_or_else(|seen| {
            panic!("without {programs:?} nothing holds it, and it does not get out: {seen}")
        });
    }

    /// What a kernel without the hardened tier does is what the programs do that are left.
    fn is_held_without_security_hooks(&mut self, user: User) {
        let hooks = self.technique.hardened_by;
        if hooks.is_empty() || !self.is_hardened() {
            return;
        }
        for hook in hooks {
            self.lab().switch_off(hook);
            let lines = self.run(user);
            self.stays_inside(&lines, &format!("without `{hook}`"));
            if Some(hook) == hooks.last() {
                self.is_recorded(user, self.outcome(user), &lines);
            }
        }
    }

    fn is_hardened(&self) -> bool {
        self.lab.as_ref().is_some_and(|lab| *lab.kernel().tier() == Tier::Hardened)
    }

    /// What has to become of it with everything in force.
    fn held_outcome(&self, user: User) -> Outcome {
        match (self.outcome(user), self.technique.hardened) {
            // What the kernel refuses to anybody it refuses before it asks a hook.
            (kernel @ Outcome::Kernel(_), _) => kernel,
            (_, Some(hardened)) if self.is_hardened() => hardened,
            (outcome, _) => outcome,
        }
    }

    fn outcome(&self, user: User) -> Outcome {
        match user {
            User::Root => self.technique.root,
            User::Nobody => self.technique.nobody,
        }
    }

    fn lab(&mut self) -> &mut Lab {
        self.lab.as_mut().unwrap()
    }

    /// Runs the script and returns what it said.
    fn run(&mut self, user: User) -> Vec<String> {
        let helper = self.technique.helper.map(|helper| {
            let helper = format!("{}\nbecome()\n{}", self.prelude(user), as_function(helper));
            let mut helper = match &self.lab {
                Some(lab) => lab.start_beside(&helper),
                None => child::start(None, &helper),
            };
            assert_eq!(helper.line(), "ready");
            helper
        });
        let who = if self.technique.starts_outside { "" } else { "become()" };
        let script = as_function(self.technique.script);
        let script = format!("{}\n{who}\n{script}", self.prelude(user));
        let mut script = match &self.lab {
            Some(lab) if self.technique.starts_outside => lab.start_beside(&script),
            Some(lab) => lab.start_guarded(&script),
            None => child::start(None, &script),
        };
        if let Some(companion) = self.technique.companion {
            companion(&self.world, &mut script);
        }
        let lines = script.finish();
        drop(helper);
        lines
    }

    fn prelude(&self, user: User) -> String {
        let text = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
        let lab = self.lab.as_ref();
        let inside = text(lab.map(|lab| lab.session().join("cgroup.procs"))).unwrap_or_default();
        let outside = text(lab.map(|lab| lab.config().cgroup.join("cgroup.procs")));
        let outside = outside.unwrap_or_default();
        let (proxy, resolver) = enforcer_tests::lab::DOORS;
        let program = self.folder.path().join("program").display().to_string();
        format!(
            "{PRELUDE}\nUSER = {}\nINSIDE = {inside:?}\nOUTSIDE = {outside:?}\nPROXY = {proxy}\n\
             RESOLVER = {resolver}\nPROGRAM = {program:?}\nSTAGE = {}\n",
            user.id(),
            getpid()
        )
    }

    /// Whatever shows that something got out, except what the host sends by itself.
    fn evidence(&mut self, lines: &[String]) -> BTreeSet<String> {
        let mut found: BTreeSet<String> =
            self.world.arrived().iter().map(|frame| format!("frame {}", shown(frame))).collect();
        let received = self.stranger.as_ref().map(Stranger::received).unwrap_or_default();
        found.extend(received.into_iter().map(|text| format!("stranger {text}")));
        if lines.iter().any(|line| line == ESCAPED) {
            found.insert(ESCAPED.to_owned());
        }
        found
    }

    fn stays_inside(&mut self, lines: &[String], when: &str) {
        let found = self.evidence(lines);
        assert!(found.is_empty(), "{when}: it gets out after {lines:?}: {found:#?}");
    }

    /// Waits until it shows in its way that something got out; else says what was seen.
    fn got_out(&mut self, lines: &[String]) -> Result<(), String> {
        let is_out = match self.technique.way {
            Way::Wire => self.world.wait_for(*OUT, |frame| contains(frame, MARK)).is_ok(),
            Way::Frame => self.world.wait_for(*OUT, |_| true).is_ok(),
            Way::Stranger => {
                self.stranger.as_ref().is_some_and(|stranger| stranger.wait_for(MARK, *OUT))
            }
            Way::NoOrigin => self.reaches_without_origin(lines),
            Way::Says => lines.iter().any(|line| line == ESCAPED),
        };
        let seen = self.evidence(lines);
        if is_out { Ok(()) } else { Err(format!("{lines:?} {seen:?}")) }
    }

    fn reaches_without_origin(&mut self, lines: &[String]) -> bool {
        // Without the programs there is no door either.
        let Some(lab) = &self.lab else { return lines.iter().any(|line| line == "ECONNREFUSED") };
        lab.arrival_within(*OUT).is_some_and(|arrival| arrival.origin.is_none())
    }

    fn is_recorded(&mut self, user: User, expected: Outcome, lines: &[String]) {
        let deadline = Instant::now() + *PATIENCE;
        let mut seen = Vec::new();
        let lab = self.lab.as_mut().unwrap();
        while Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_found = match expected {
                Outcome::Redirected(destination) => {
                    lab.arrival_within(left).is_some_and(|arrival| {
                        seen.push(format!("{arrival:?}"));
                        arrival.origin.is_some_and(|origin| {
                            origin.destination.to_string() == destination && origin.uid == user.id()
                        })
                    })
                }
                Outcome::Refused(hook, refusal) => {
                    lab.event_within(left).is_some_and(|(by, why, event)| {
                        seen.push(format!("{by:?} {why:?} {event:?}"));
                        let is_user = event.tgid == 0 || event.uid == user.id();
                        (by, why) == (hook, refusal) && is_user
                    })
                }
                Outcome::Harmless => true,
                Outcome::Kernel(answer) => lines.last().is_some_and(|line| line == answer),
            };
            if is_found {
                lab.forget_what_came();
                return;
            }
        }
        panic!("{user:?}: no record of {expected:?} after {lines:?}: {seen:#?}");
    }
}

/// A script as a function of its own, so that an errno ends it and is its last word.
fn as_function(script: &str) -> String {
    let lines: Vec<_> = script.lines().map(|line| format!("    {line}")).collect();
    format!("def attempt():\n    pass\n{}\ncarry_out(attempt)\n", lines.join("\n"))
}

/// Puts a program where the script finds it: compiled here, or before where there is no compiler.
fn provide(name: &str, folder: &Path) {
    let program = folder.join("program");
    if let Some(compiled) = std::env::var_os(PROGRAMS) {
        fs::copy(Path::new(&compiled).join(name), program).unwrap();
        return;
    }
    let source = format!("{}/escape/programs/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("cc");
    command.args(["-O1", "-pthread", "-o"]).arg(program).arg(source);
    assert!(command.status().unwrap().success(), "the program does not compile");
}

/// The readable part of a frame, or its head.
fn shown(frame: &[u8]) -> String {
    let head: String = frame.iter().skip(12).take(60).map(|byte| format!("{byte:02x}")).collect();
    if contains(frame, MARK) { format!("with the marker: {head}") } else { head }
}
