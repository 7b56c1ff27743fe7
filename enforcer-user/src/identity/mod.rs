// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who an agent is: the sessions that are alive and the cgroups that hold their processes.
//!
//! In this version a process becomes an agent by being started through `enforcer run`, which puts it into
//! a cgroup of its own; every descendant stays in it. The kernel decides by that cgroup; this room only
//! makes it, labels it, and notices when the last process is gone.

mod cgroup;
mod claim;
mod sessions;
mod watch;
mod witness;

use std::path::PathBuf;

pub use cgroup::{is_guarded, is_stopped, populated, process, remove_all, started};
pub use claim::Claim;
pub use sessions::{Session, Sessions};
pub use watch::watch;
pub use witness::{Witness, complete};

/// Where the sessions' cgroups are.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of all session cgroups: `<cgroup>/enforcer`.
    pub sessions: PathBuf,
}

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
        session: enforcer_core::model::SessionId,
        agent: &enforcer_core::model::AgentName,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

    /// Takes the label away once the cgroup is gone.
    ///
    /// # Errors
    /// What the kernel said; a label without a cgroup harms nobody.
    fn unguard(&self, cgroup_id: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}
