// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sessions that are alive.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use enforcer_common::{SessionStart, capture};
use enforcer_core::model::{AgentName, Capture, Launch, SessionId, limits};

use super::{Config, Error, Guard, GuardError, cgroup};

/// Every labeled process.
type Labels = Result<Vec<(u32, SessionId)>, GuardError>;

/// One life of an agent's root process.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The agent it runs as.
    pub agent: AgentName,
    /// How its command was started; none by a selector, or if that is not known any more.
    pub launch: Option<Launch>,
    /// How much of its egress is taken.
    pub capture: Capture,
    /// What holds its processes together.
    pub place: Place,
}

/// What holds the processes of a session together.
#[derive(Debug)]
pub enum Place {
    /// A cgroup that `enforcer run` made.
    Cgroup {
        /// Its folder.
        path: PathBuf,
        /// Its id.
        id: u64,
    },
    /// Their labels alone: the session began by a selector.
    Labels {
        /// A process that had the label when somebody looked last.
        witness: AtomicU32,
        /// Looks in a row that found no process.
        empty_looks: AtomicU32,
    },
}

/// All sessions that are alive.
pub struct Sessions {
    config: Config,
    guard: Arc<dyn Guard>,
    alive: RwLock<HashMap<SessionId, Arc<Session>>>,
}

/// How much of the egress of a session is taken that began by a selector.
#[must_use]
pub const fn capture_of(start: &SessionStart) -> Capture {
    match start.capture {
        capture::ALL => Capture::All,
        _ => Capture::Endpoints,
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("alive", &self.alive().len()).finish_non_exhaustive()
    }
}

impl Sessions {
    /// No session yet.
    #[must_use]
    pub fn new(config: Config, guard: Arc<dyn Guard>) -> Self {
        Self { config, guard, alive: RwLock::default() }
    }

    /// Takes over the sessions that an earlier daemon labeled; `recorded` knows how they were started.
    /// Those whose processes are gone are returned as ended.
    pub fn recover(
        &self,
        labeled: Vec<(u64, SessionId, AgentName)>,
        recorded: impl Fn(SessionId) -> Option<Launch>,
    ) -> Vec<Arc<Session>> {
        let mut ended = Vec::new();
        for (cgroup_id, id, agent) in labeled {
            let path = self.config.sessions.join(id.to_string());
            let is_alive = cgroup::is_populated(&path);
            let place = Place::Cgroup { path, id: cgroup_id };
            let (launch, capture) = (recorded(id), Capture::All);
            let session = Arc::new(Session { id, agent, launch, capture, place });
            self.insert(Arc::clone(&session));
            if !is_alive {
                ended.push(session);
            }
        }
        ended
    }

    /// Makes the session's cgroup, labels it, and moves the process in: in that order, so that the
    /// process is guarded from its first instruction inside.
    ///
    /// # Errors
    /// Nothing is left behind when one step fails.
    pub fn start(
        &self,
        id: SessionId,
        agent: AgentName,
        launch: Launch,
        pid: u32,
    ) -> Result<Arc<Session>, Error> {
        let path = self.config.sessions.join(id.to_string());
        let cgroup_id = cgroup::create(&path)?;
        let place = Place::Cgroup { path: path.clone(), id: cgroup_id };
        let (launch, capture) = (Some(launch), Capture::All);
        let session = Arc::new(Session { id, agent, launch, capture, place });
        let guarded = self
            .guard
            .guard(cgroup_id, id, &session.agent)
            .map_err(|source| Error::Guard { session: id.to_string(), source });
        if let Err(error) = guarded.and_then(|()| cgroup::enter(&path, pid)) {
            self.end(&session)?;
            return Err(error);
        }
        // Only now: the sweep would end a session that has no process yet. The process cannot connect
        // before, because it waits for our answer.
        self.insert(Arc::clone(&session));
        Ok(session)
    }

    /// A session that began by a selector is known from now on, unless it is over already. `record` writes down
    /// that it began, where nobody did yet; it is called before anybody can find the session, so that its
    /// record comes first. Says whether it was new.
    ///
    /// # Errors
    /// When the kernel cannot be asked about it.
    pub fn learn(
        &self,
        id: SessionId,
        record: impl FnOnce(&SessionStart, &AgentName),
    ) -> Result<bool, Error> {
        let mut alive = self.alive.write().unwrap_or_else(PoisonError::into_inner);
        if alive.contains_key(&id) {
            return Ok(false);
        }
        // Asked now: what the caller saw may have ended, and be written down as ended, meanwhile.
        let asked = self.guard.begun_as(id);
        let asked = asked.map_err(|source| Error::Guard { session: id.to_string(), source })?;
        let Some(start) = asked else { return Ok(false) };
        let agent = self.guard.agent_of(&start.label);
        if start.recorded == 0 {
            record(&start, &agent);
        }
        let witness = AtomicU32::new(start.tgid);
        let place = Place::Labels { witness, empty_looks: AtomicU32::new(0) };
        let capture = capture_of(&start);
        alive.insert(id, Arc::new(Session { id, agent, launch: None, capture, place }));
        Ok(true)
    }

    /// Removes the cgroup first and the label after it: a label without a cgroup harms nobody, a cgroup
    /// without a label would be a hole.
    ///
    /// # Errors
    /// [`Error::Cgroup`] if processes are still in it.
    pub fn end(&self, session: &Session) -> Result<(), Error> {
        let forgotten = match &session.place {
            Place::Cgroup { path, id } => {
                cgroup::remove(path)?;
                self.guard.unguard(*id)
            }
            Place::Labels { .. } => self.guard.forget(session.id),
        };
        forgotten.map_err(|source| Error::Guard { session: session.id.to_string(), source })?;
        self.alive.write().unwrap_or_else(PoisonError::into_inner).remove(&session.id);
        Ok(())
    }

    /// The session with this id.
    #[must_use]
    pub fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        self.alive().get(&id).cloned()
    }

    /// All sessions, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Session>> {
        let mut all: Vec<_> = self.alive().values().cloned().collect();
        all.sort_by_key(|session| session.id);
        all
    }

    /// Sessions whose last process is gone.
    #[must_use]
    pub fn deserted(&self) -> Vec<Arc<Session>> {
        // Read once, and only if a witness is gone.
        let labels = LazyCell::new(|| self.guard.labels());
        let is_deserted = |session: &Arc<Session>| match &session.place {
            Place::Cgroup { path, .. } => !cgroup::is_populated(path),
            Place::Labels { witness, empty_looks } => {
                if self.has_witness(session.id, witness, &labels) {
                    empty_looks.store(0, Ordering::Relaxed);
                    return false;
                }
                // A process that was made while others ended may have been missed.
                empty_looks.fetch_add(1, Ordering::Relaxed) + 1 >= limits::SESSION_EMPTY_LOOKS
            }
        };
        self.all().into_iter().filter(is_deserted).collect()
    }

    /// Whether a process has the label of a session. What cannot be read is taken for one.
    fn has_witness<F: FnOnce() -> Labels>(
        &self,
        id: SessionId,
        witness: &AtomicU32,
        labels: &LazyCell<Labels, F>,
    ) -> bool {
        let has_label = |pid| !matches!(self.guard.session_of(pid), Ok(found) if found != Some(id));
        if has_label(witness.load(Ordering::Relaxed)) {
            return true;
        }
        let Ok(labels) = &**labels else { return true };
        let other = labels.iter().find(|(_, session)| *session == id);
        if let Some((pid, _)) = other {
            witness.store(*pid, Ordering::Relaxed);
        }
        other.is_some()
    }

    /// What gives labels.
    pub fn guard(&self) -> &dyn Guard {
        &*self.guard
    }

    /// Where the sessions' cgroups are.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The folder of all session cgroups.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        &self.config.sessions
    }

    fn insert(&self, session: Arc<Session>) {
        self.alive.write().unwrap_or_else(PoisonError::into_inner).insert(session.id, session);
    }

    fn alive(&self) -> std::sync::RwLockReadGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.alive.read().unwrap_or_else(PoisonError::into_inner)
    }
}
