// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sessions that are alive.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use enforcer_core::model::{AgentName, Launch, SessionId};

use super::{Config, Error, Guard, cgroup};

/// One life of an agent's root process.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The agent it runs as.
    pub agent: AgentName,
    /// How its command was started; none if that is not known any more.
    pub launch: Option<Launch>,
    /// Its cgroup's folder.
    pub cgroup: PathBuf,
    /// Its cgroup's id.
    pub cgroup_id: u64,
}

/// All sessions that are alive.
pub struct Sessions {
    config: Config,
    guard: Arc<dyn Guard>,
    alive: RwLock<HashMap<SessionId, Arc<Session>>>,
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
            let cgroup = self.config.sessions.join(id.to_string());
            let launch = recorded(id);
            let session = Arc::new(Session { id, agent, launch, cgroup, cgroup_id });
            let is_alive = cgroup::is_populated(&session.cgroup);
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
        let launch = Some(launch);
        let session = Arc::new(Session { id, agent, launch, cgroup: path, cgroup_id });
        let guarded = self
            .guard
            .guard(cgroup_id, id, &session.agent)
            .map_err(|source| Error::Guard { session: id.to_string(), source });
        if let Err(error) = guarded.and_then(|()| cgroup::enter(&session.cgroup, pid)) {
            self.end(&session)?;
            return Err(error);
        }
        // Only now: the sweep would end a session that has no process yet. The process cannot connect
        // before, because it waits for our answer.
        self.insert(Arc::clone(&session));
        Ok(session)
    }

    /// Removes the cgroup first and the label after it: a label without a cgroup harms nobody, a cgroup
    /// without a label would be a hole.
    ///
    /// # Errors
    /// [`Error::Cgroup`] if processes are still in it.
    pub fn end(&self, session: &Session) -> Result<(), Error> {
        cgroup::remove(&session.cgroup)?;
        self.guard
            .unguard(session.cgroup_id)
            .map_err(|source| Error::Guard { session: session.id.to_string(), source })?;
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
        let all = self.all();
        all.into_iter().filter(|session| !cgroup::is_populated(&session.cgroup)).collect()
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
