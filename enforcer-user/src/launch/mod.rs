// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Confines the process that is about to become an agent's command, by what the kernel has beside our own
//! programs. It holds where no LSM programs can be loaded, and it cannot be taken off again.
//!
//! The daemon says with [`launch`] what a session is started with; [`confine`] does exactly that or fails,
//! so that the record is true. It errs towards not starting. It does not look at files, apart from those
//! through which root sets the kernel and Enforcer, and not at what a helper behind a Unix socket does.

#[expect(unsafe_code, reason = "close_range(2), which nix does not offer")]
mod descriptors;
mod domain;
mod filter;
mod hold;
mod mounts;
mod privileges;
mod user;

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use enforcer_core::model::{Lack, Launch, LaunchMode};
use nix::unistd::{Uid, getresuid};

pub use user::{become_user, find_user};

/// Enforcer's own files, of which a command that runs as root must not have more than anybody.
#[derive(Clone, Debug)]
pub struct Files {
    /// Folder of keys and journal; hidden.
    pub state: PathBuf,
    /// The public part of it; seen.
    pub trust: PathBuf,
    /// Policy, settings, the folder of the socket and what else decides; seen, and not writable.
    pub fixed: Vec<PathBuf>,
    /// What only has to stay where it is.
    pub held: Vec<PathBuf>,
}

/// Why a command was not started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command would own something that leads past what is guarded.
    #[error("{stream} is {what}, and what is handed over is not guarded")]
    Handed {
        /// Which of the three.
        stream: &'static str,
        /// What it is.
        what: &'static str,
    },
    /// A file system could not be made safe.
    #[error("failed to {operation} `{path}`")]
    Path {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A step failed that the kernel should be able to do.
    #[error("failed to {step}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the kernel or its library said.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// There is no such user.
    #[error("no user `{name}` on this host")]
    User {
        /// Name or number.
        name: String,
    },
}

impl Error {
    fn step(step: &'static str, source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Step { step, source: Box::new(source) }
    }

    fn path(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Path { operation, path: path.to_owned(), source }
    }
}

/// How this kernel starts a session of this mode.
#[must_use]
pub fn launch(mode: LaunchMode) -> Launch {
    let lacks = match mode {
        LaunchMode::Confined => {
            let seccomp = (!filter::is_there()).then_some(Lack::Seccomp);
            seccomp.into_iter().chain(domain::lacks()).collect()
        }
        LaunchMode::Plain => Vec::new(),
    };
    Launch { mode, lacks }
}

/// True if this thread owns what root owns, by any of its user ids.
///
/// # Errors
/// If they cannot be read.
pub fn is_root() -> Result<bool, Error> {
    let ids = getresuid().map_err(|errno| Error::step("read the user ids", errno))?;
    Ok([ids.real, ids.effective, ids.saved].into_iter().any(Uid::is_root))
}

/// Confines the calling thread, which then has to execute the command. Nothing can be undone, so a process
/// for which it failed has to end.
///
/// # Errors
/// The first step that failed.
pub fn confine(launch: &Launch, files: &Files) -> Result<(), Error> {
    match launch.mode {
        LaunchMode::Plain => return Ok(()),
        LaunchMode::Confined => {}
    }
    let has = |lack| !launch.lacks.contains(&lack);
    descriptors::refuse_ways_out()?;
    // In this order: each step may need what the ones after it take away.
    let is_root = is_root()?;
    if is_root {
        mounts::enter(files)?;
    }
    privileges::no_new()?;
    privileges::drop_all()?;
    if has(Lack::Landlock) {
        domain::enter(has(Lack::LandlockScopes), is_root)?;
    }
    descriptors::close_at_exec()?;
    if has(Lack::Seccomp) {
        filter::hold()?;
    }
    Ok(())
}
