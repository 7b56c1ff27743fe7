// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who an agent is: the sessions that are alive and the cgroups that hold their processes.
//!
//! A process becomes an agent by being started through `enforcer run`, which puts it into a cgroup of its own,
//! or because a selector of the bundle describes it when it starts a program. The kernel decides both; this
//! room makes the cgroup and labels it, finds what selectors mean on this host, finds processes that ran
//! before anybody looked, and notices when the last process of a session is gone.

mod adopt;
mod cgroup;
mod claim;
mod containers;
mod resolve;
mod sessions;
mod watch;
mod witness;

use std::path::{Path, PathBuf};

use enforcer_common::{FileId, Label, SessionStart};
use enforcer_core::model::{AgentName, Capture, SessionId};

pub use adopt::{Adopted, adopt};
pub use cgroup::{is_guarded, is_running, is_stopped, populated, process, remove_all, started};
pub use claim::Claim;
pub use resolve::{Entry, Files, selectors_without};
pub use sessions::{Place, Session, Sessions, capture_of};
pub use watch::watch;
pub use witness::{Witness, complete};

/// Where the sessions' cgroups are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of all session cgroups: `<cgroup>/enforcer`.
    pub sessions: PathBuf,
    /// The cgroup that the programs attach to, as a path from the root of the hierarchy.
    pub attached: PathBuf,
}

/// What the kernel room said.
pub type GuardError = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong with a session's cgroup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A cgroup operation failed.
    #[error("failed to {operation} cgroup `{path}`")]
    Cgroup {
        /// What was tried.
        operation: &'static str,
        /// On which cgroup.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Another process guards the same attach point.
    #[error("another daemon guards `{sessions}`")]
    Claimed {
        /// The folder of its session cgroups.
        sessions: PathBuf,
    },
    /// The label could not be given to the kernel.
    #[error("failed to guard session `{session}`")]
    Guard {
        /// The session.
        session: String,
        /// What the kernel room said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Gives labels to the kernel; declared here, made by the daemon from the kernel room.
pub trait Guard: Send + Sync {
    /// Labels a cgroup: whatever runs in it is this session of this agent.
    ///
    /// # Errors
    /// What the kernel said; the session must not start then.
    fn guard(
        &self,
        cgroup_id: u64,
        session: SessionId,
        agent: &AgentName,
    ) -> Result<(), GuardError>;

    /// Takes the label away once the cgroup is gone.
    ///
    /// # Errors
    /// What the kernel said; a label without a cgroup harms nobody.
    fn unguard(&self, cgroup_id: u64) -> Result<(), GuardError>;

    /// The file behind a path, as the kernel tells files apart.
    ///
    /// # Errors
    /// When there is none.
    fn file(&self, path: &Path) -> Result<FileId, GuardError>;

    /// Room for an agent's name and session.
    ///
    /// # Errors
    /// When the name is too long.
    fn label_of(&self, session: SessionId, agent: &AgentName) -> Result<Label, GuardError>;

    /// The agent's name in a label.
    fn agent_of(&self, label: &Label) -> AgentName;

    /// The session of a process by its own label.
    ///
    /// # Errors
    /// When it cannot be read.
    fn session_of(&self, pid: u32) -> Result<Option<SessionId>, GuardError>;

    /// Whether a process has a label of its own that nothing takes from it. A connection to an endpoint alone
    /// brings none such.
    ///
    /// # Errors
    /// When it cannot be read.
    fn is_agent(&self, pid: u32) -> Result<bool, GuardError>;

    /// Every labeled process.
    ///
    /// # Errors
    /// When they cannot be read.
    fn labels(&self) -> Result<Vec<(u32, SessionId)>, GuardError>;

    /// Begins a session of processes that run already.
    ///
    /// # Errors
    /// When there is no room for it.
    fn begin(&self, start: &SessionStart) -> Result<(), GuardError>;

    /// How a session began by a selector.
    ///
    /// # Errors
    /// When it cannot be read.
    fn begun_as(&self, session: SessionId) -> Result<Option<SessionStart>, GuardError>;

    /// Forgets a session that began by a selector.
    ///
    /// # Errors
    /// What the kernel said.
    fn forget(&self, session: SessionId) -> Result<(), GuardError>;

    /// Labels a process that runs already.
    ///
    /// # Errors
    /// When there is no room for it.
    fn label(&self, pid: u32, session: SessionId, capture: Capture) -> Result<(), GuardError>;

    /// Takes the label of a process away.
    ///
    /// # Errors
    /// What the kernel said.
    fn unlabel(&self, pid: u32) -> Result<(), GuardError>;

    /// Ends the connections of a process; returns how many.
    ///
    /// # Errors
    /// When its sockets cannot be looked at.
    fn cut(&self, pid: u32, uid: u32, session: SessionId) -> Result<u64, GuardError>;
}
