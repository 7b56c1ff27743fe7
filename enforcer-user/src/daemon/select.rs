// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Agents by selector: what the bundle in force asks for is told to the kernel, sessions that began there are
//! written down, and processes that ran before are adopted.
//!
//! One look does all of it, so that nothing depends on an event that may be lost; an event only makes the next
//! look come sooner.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use enforcer_common::SessionStart;
use enforcer_core::mask::Masker;
use enforcer_core::model::{AgentName, SessionId, limits};
use enforcer_core::policy::Policy;
use enforcer_core::record::{EventBody, Process, Recorded, Selected, SessionOpened};
use tokio::sync::Notify;

use crate::admin::Host;
use crate::enforce::Enforcer;
use crate::identity::{self, Adopted, Entry, Files, Sessions};

/// Looks again and again; what it knows of the last look.
pub(super) struct Selection {
    host: Arc<Host>,
    files: Files,
    /// What the kernel was told; none before the first time.
    told: Option<Vec<Entry>>,
    problems: Vec<String>,
    looked: Option<Instant>,
}

impl Selection {
    pub(super) fn new(host: Arc<Host>) -> Self {
        let (files, problems) = (Files::default(), Vec::new());
        Self { host, files, told: None, problems, looked: None }
    }

    /// One look. Blocks: it reads `/proc` and programs' files.
    pub(super) fn look(&mut self) {
        let policy = self.host.enforcer.policy.load_full();
        let guard = self.host.sessions.guard();
        let (entries, problems) = self.files.resolve(guard, &policy);
        let without = &self.host.selectors_without;
        without.write().unwrap_or_else(PoisonError::into_inner).clone_from(&problems);
        let is_new = self.told.as_ref() != Some(&entries);
        if is_new {
            self.tell(entries);
        }
        self.learn();
        let is_due = self.looked.is_none_or(|at| at.elapsed() >= limits::ADOPTION_INTERVAL);
        let mut problems = problems;
        if is_new || is_due {
            problems.extend(self.adopt());
            self.looked = Some(Instant::now());
        } else {
            problems.extend(self.problems.iter().filter(|old| old.starts_with("process")).cloned());
        }
        self.say(problems);
    }

    fn tell(&mut self, entries: Vec<Entry>) {
        let chosen: Vec<_> =
            entries.iter().map(|entry| (entry.selector, entry.places.clone())).collect();
        match self.host.kernel.select(&chosen) {
            Ok(()) => {
                tracing::info!(count = chosen.len(), "selectors in force");
                self.told = Some(entries);
            }
            Err(error) => {
                let error = crate::runtime::chain(&error);
                tracing::error!(error, "selectors refused; those before stay in force");
            }
        }
    }

    /// Writes down the sessions that began in the kernel.
    fn learn(&self) {
        let begun = self.host.kernel.begun().unwrap_or_else(|error| {
            tracing::error!(%error, "sessions that began by a selector are not readable");
            Vec::new()
        });
        for start in begun {
            let id = SessionId::from_u64(start.label.session);
            let is_known = self.host.sessions.find(id).is_some();
            if !is_known {
                learn(&self.host.sessions, &self.host.enforcer, id);
            }
            if start.recorded == 0 && identity::capture_of(&start).is_all() {
                self.cut_inherited(&start);
            }
            // Only now, a look later: a daemon that dies in between writes it down twice rather than never.
            if is_known
                && start.recorded == 0
                && let Err(error) = self.host.kernel.recorded(&start)
            {
                // It is over already.
                tracing::debug!(session = %id, %error, "session not marked");
            }
        }
    }

    /// A program may be started with connections of the one before it.
    fn cut_inherited(&self, start: &SessionStart) {
        let masker = self.host.enforcer.policy.load().masker_of_everything();
        let id = SessionId::from_u64(start.label.session);
        match self.host.kernel.cut(start.tgid, start.uid, id) {
            Ok(count) => self.record_cut(id, process_of(start, &masker), count),
            // It is gone already, and its connections with it.
            Err(error) => tracing::debug!(session = %id, %error, "no connections to end"),
        }
    }

    fn adopt(&self) -> Vec<String> {
        if let Err(error) = self.host.kernel.find_cgroups() {
            tracing::error!(error = crate::runtime::chain(&error), "cgroups are not looked for");
        }
        let (host, entries) = (&self.host, self.told.as_deref().unwrap_or_default());
        let new_session = || SessionId::new(host.enforcer.clock.now(), (host.random)());
        let (adopted, problems) =
            identity::adopt(host.sessions.guard(), host.sessions.config(), entries, &new_session);
        let masker = host.enforcer.policy.load().masker_of_everything();
        for Adopted { pid, uid, comm, session, begun, cut, .. } in adopted {
            if begun {
                learn(&host.sessions, &host.enforcer, session);
            }
            tracing::info!(%session, pid, cut, "a running process is guarded now");
            let process = Process::new(pid, uid, Recorded::of(&comm, &masker));
            self.record_cut(session, process, cut);
        }
        problems
    }

    fn record_cut(&self, session: SessionId, process: Process, count: u64) {
        if count > 0 {
            let cx = &self.host.enforcer;
            let body = EventBody::ConnectionsCut { process, count };
            cx.journal.append_or_count(session, cx.clock.now(), body);
        }
    }

    /// Says once what does not work.
    fn say(&mut self, problems: Vec<String>) {
        if problems != self.problems {
            for problem in &problems {
                tracing::warn!("{problem}");
            }
            self.problems = problems;
        }
    }
}

/// Looks every [`limits::SESSION_SWEEP_INTERVAL`], and when it is told that a session began.
pub(super) async fn watch(mut selection: Selection, begun: Arc<Notify>) {
    let mut interval = tokio::time::interval(limits::SESSION_SWEEP_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _tick = interval.tick() => {}
            () = begun.notified() => {}
        }
        let looked = tokio::task::spawn_blocking(move || {
            selection.look();
            selection
        });
        selection = match looked.await {
            Ok(selection) => selection,
            Err(error) => {
                tracing::error!(%error, "nobody looks for agents any more");
                return;
            }
        };
    }
}

/// Makes a session known that began by a selector, and writes down how, where nobody did yet.
pub(super) fn learn(sessions: &Sessions, cx: &Enforcer, id: SessionId) {
    let learned = sessions.learn(id, |start, agent| {
        tracing::info!(session = %id, %agent, pid = start.tgid, "session began by a selector");
        let opened = opened(&cx.policy.load(), start, agent);
        cx.journal.append_or_count(id, cx.clock.now(), EventBody::SessionOpened(opened));
    });
    if let Err(error) = learned {
        let error = crate::runtime::chain(&error);
        tracing::error!(session = %id, error, "a session that began is not known");
    }
}

fn opened(policy: &Policy, start: &SessionStart, agent: &AgentName) -> SessionOpened {
    let masker = policy.masker_of_everything();
    let (exe, command) = seen(start);
    SessionOpened {
        launch: None,
        agent: agent.clone(),
        process: process_of(start, &masker),
        command: Recorded::command(&command, &masker),
        policy: policy.version().clone(),
        selected: Some(Selected {
            exe: exe.as_deref().map(|exe| Recorded::of(exe, &masker)),
            parent: start.parent,
            started_ns: start.started,
            cgroup: start.cgroup,
            capture: identity::capture_of(start),
        }),
    }
}

fn process_of(start: &SessionStart, masker: &Masker) -> Process {
    Process::new(start.tgid, start.uid, Recorded::of(&comm(start), masker))
}

fn comm(start: &SessionStart) -> String {
    let comm: Vec<u8> = start.comm.iter().copied().take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&comm).into_owned()
}

/// The program and command line of the first process, while it lives; else its name.
fn seen(start: &SessionStart) -> (Option<String>, Vec<String>) {
    let process = Path::new("/proc").join(start.tgid.to_string());
    let exe = std::fs::read_link(process.join("exe"));
    let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
    // Ticks of ten milliseconds: the kernel tells nanoseconds.
    let is_same = identity::started(start.tgid)
        .is_some_and(|ticks| ticks == start.started / NANOSECONDS_IN_TICK);
    if !is_same || line.is_empty() {
        return (None, vec![comm(start)]);
    }
    let words =
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut words: Vec<String> = words.collect();
    // Each word ends with a zero byte.
    words.pop();
    (exe.ok().map(|path| path.display().to_string()), words)
}

/// `USER_HZ` is 100.
const NANOSECONDS_IN_TICK: u64 = 10_000_000;
