// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the daemon says to the kernel about agents by selector, and asks it.

use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

use enforcer_common::{ProcessLabel, Selector, SessionStart, SocketLabel, map};
use enforcer_core::model::SessionId;

use super::select::Selection;
use super::{Error, Kernel, cut, is_missing, preflight};

impl Kernel {
    /// Takes the label of a process away that was given to the wrong one.
    ///
    /// # Errors
    /// When the kernel refuses; a process without a label is no error.
    pub fn unlabel(&self, pid: u32) -> Result<(), Error> {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        match processes.remove(&pid) {
            Err(source) if !is_missing(&source) => {
                Err(Error::map("remove a process from", map::PROCESSES, source))
            }
            _ => Ok(()),
        }
    }

    /// Every labeled process with its session.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn labels(&self) -> Result<Vec<(u32, SessionId)>, Error> {
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |(pid, label): (u32, ProcessLabel)| (pid, SessionId::from_u64(label.session));
        let entries: Result<Vec<_>, _> = processes.iter().map(|item| item.map(entry)).collect();
        entries.map_err(|source| Error::map("read", map::PROCESSES, source))
    }

    /// Says which processes become which agent when they start a program; what was said before is replaced as
    /// a whole. Each selector comes with the units and cgroups that it names, and the first one counts that
    /// describes a process.
    ///
    /// # Errors
    /// When the kernel refuses; then what was in force stays in force.
    pub fn select(&self, entries: &[(Selector, Vec<String>)]) -> Result<(), Error> {
        self.selection().replace(&self.config, entries)
    }

    /// Looks for cgroups that selectors name and the programs did not see being made.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn find_cgroups(&self) -> Result<(), Error> {
        self.selection().find_cgroups(&self.config)
    }

    /// Every session that began by a selector and was not forgotten.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn begun(&self) -> Result<Vec<SessionStart>, Error> {
        self.selection().sessions()
    }

    /// How a session began by a selector.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn begun_as(&self, session: SessionId) -> Result<Option<SessionStart>, Error> {
        self.selection().session(session.as_u64())
    }

    /// Begins a session for processes that run already.
    ///
    /// # Errors
    /// When the kernel takes no more sessions, or has this one.
    pub fn begin(&self, start: &SessionStart) -> Result<(), Error> {
        self.selection().begin(start)
    }

    /// Says of a session that began by a selector that it is written down.
    ///
    /// # Errors
    /// When the kernel does not know it.
    pub fn recorded(&self, start: &SessionStart) -> Result<(), Error> {
        self.selection().recorded(start)
    }

    /// Forgets a session that began by a selector. To be called after its last process is gone.
    ///
    /// # Errors
    /// When the kernel refuses; an unknown session is no error.
    pub fn forget(&self, session: SessionId) -> Result<(), Error> {
        self.selection().forget(session.as_u64())
    }

    /// Ends the connections that a process has, and labels its other sockets. Returns how many it ended. To be
    /// called when the process is labeled, so that it can make no new one.
    ///
    /// # Errors
    /// When the process is gone, or its sockets cannot be looked at.
    pub fn cut(&self, pid: u32, uid: u32, session: SessionId) -> Result<u64, Error> {
        let label = SocketLabel { session: session.as_u64(), tgid: pid, uid, comm: [0; 16] };
        cut::cut(&self.config, pid, label)
    }

    /// The path of the cgroup that the programs attach to, from the root of the hierarchy.
    ///
    /// # Errors
    /// When the mounts cannot be read.
    pub fn attached_below_root(&self) -> Result<PathBuf, Error> {
        preflight::below_hierarchy_root(&self.config)
    }

    fn selection(&self) -> MutexGuard<'_, Selection> {
        self.selection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
