// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong between the daemon and the kernel.

use std::io;
use std::path::{Path, PathBuf};

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use enforcer_core::model::AgentName;

/// A failure of this room, with the operation and its object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The label has no room for the name.
    #[error("agent name `{agent}` is longer than {} bytes", enforcer_common::AGENT_NAME_BYTES)]
    AgentName {
        /// The name.
        agent: AgentName,
    },
    /// The daemon would redirect its own upstream connections to itself.
    #[error("cannot start from inside the guarded cgroup `{cgroup}`")]
    Guarded {
        /// Own cgroup, as `/proc/self/cgroup` names it.
        cgroup: PathBuf,
    },
    /// The same, by the label of a guarded process.
    #[error("cannot start as a guarded process or a descendant of one")]
    GuardedProcess,
    /// The host lacks something.
    #[error("cannot guard this host: {reason}")]
    Host {
        /// What is missing.
        reason: &'static str,
    },
    /// A file, folder or mount.
    #[error("failed to {operation} `{path}`")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel names things differently.
    #[error("this kernel has no `{member}` in `struct {object}`")]
    Layout {
        /// The structure.
        object: &'static str,
        /// What the programs read of it.
        member: &'static str,
    },
    /// The object is refused as a whole.
    #[error("failed to load the programs")]
    Load {
        /// Why not.
        source: Box<EbpfError>,
    },
    /// A map.
    #[error("failed to {operation} map `{name}`")]
    Map {
        /// What was tried.
        operation: &'static str,
        /// Its name.
        name: &'static str,
        /// Why not.
        source: Box<MapError>,
    },
    /// The object and the contract do not belong together.
    #[error("the object has no {kind} `{name}`")]
    Missing {
        /// Program or map.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// The kernel attaches security hooks and does not call them.
    #[error("the kernel does not call security hooks: `bpf` is not in its list `lsm=`")]
    NotCalled,
    /// The configured folder is not on a cgroup v2 hierarchy.
    #[error("`{path}` is not a cgroup v2 folder")]
    NotCgroup2 {
        /// The folder.
        path: PathBuf,
    },
    /// The pins are in force for another cgroup than the configured one.
    #[error("program `{name}` is attached to another cgroup than `{cgroup}`")]
    OtherCgroup {
        /// The program.
        name: &'static str,
        /// The configured cgroup.
        cgroup: PathBuf,
    },
    /// A program.
    #[error("failed to {operation} program `{name}`")]
    Program {
        /// What was tried.
        operation: &'static str,
        /// Its name.
        name: &'static str,
        /// Why not; for a refused program with the verifier's log.
        source: Box<ProgramError>,
    },
    /// A bpf(2) command or another call of the kernel.
    #[error("failed to {operation} `{object}`")]
    Syscall {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
        /// Why not.
        source: io::Error,
    },
    /// Something outlived its removal.
    #[error("program {id} is still loaded: another process holds it")]
    StillLoaded {
        /// Kernel's id of the program.
        id: u32,
    },
}

impl Error {
    /// True if root would have been allowed to.
    #[must_use]
    pub fn is_privilege(&self) -> bool {
        let is_denied = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
        match self {
            Self::Host { reason } => reason.contains("needs root"),
            Self::Io { source, .. } | Self::Syscall { source, .. } => is_denied(source),
            _ => false,
        }
    }

    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { operation, path: path.to_owned(), source }
    }

    pub(super) fn map(operation: &'static str, name: &'static str, source: MapError) -> Self {
        Self::Map { operation, name, source: Box::new(source) }
    }

    pub(super) fn program(
        operation: &'static str,
        name: &'static str,
        source: impl Into<ProgramError>,
    ) -> Self {
        Self::Program { operation, name, source: Box::new(source.into()) }
    }

    pub(super) fn syscall(operation: &'static str, object: &str, source: io::Error) -> Self {
        Self::Syscall { operation, object: object.to_owned(), source }
    }
}
