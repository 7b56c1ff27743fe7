// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The host's settings: `enforcer.toml`, read strictly, every problem reported at once with its place.
//!
//! What people may write is listed in [`settings::SETTINGS`]; rules live in the bundle and never here.

pub mod bundle;
pub mod git;
pub mod place;
mod read;
pub mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use enforcer_core::policy::Diagnostics;

use crate::tls::Root;

/// Where the settings are when nobody says otherwise.
pub const DEFAULT_FILE: &str = "/etc/enforcer/enforcer.toml";
/// The folder of the journal below `state`.
pub const JOURNAL_FOLDER: &str = "journal";

/// The settings, complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the bundle comes from.
    pub policies: place::Place,
    /// Journal, CA, counters.
    pub state: PathBuf,
    /// The admin API's socket.
    pub socket: PathBuf,
    /// Where the programs attach; the cgroup v2 root unless a test or a second instance says otherwise.
    pub cgroup: PathBuf,
    /// Where links and maps are pinned.
    pub bpffs: PathBuf,
    /// The way to the providers.
    pub upstream: Upstream,
}

/// `[upstream]`.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// What upstream certificates are verified against.
    pub roots: Vec<Root>,
    /// `[upstream.resolve]`: names answered here instead of by DNS.
    pub resolve: BTreeMap<String, Vec<SocketAddr>>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("failed to read the settings `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not right.
    #[error("the settings `{path}` are not valid")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Its text, to show the places in.
        text: String,
        /// All problems.
        #[source]
        problems: Diagnostics,
    },
    /// No cgroup v2 to attach to.
    #[error("no cgroup v2 hierarchy is mounted")]
    Cgroup(#[source] crate::kernel::Error),
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// See [`Error`]; all problems of the file at once.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let written = read::read(&path.display().to_string(), &text)
            .map_err(|problems| Error::Invalid { path: path.to_owned(), text, problems })?;
        let cgroup = match written.cgroup {
            Some(cgroup) => cgroup,
            None => crate::kernel::find_cgroup2().map_err(Error::Cgroup)?,
        };
        Ok(Self {
            policies: place::Place {
                folder: written.policies.unwrap_or_else(|| settings::POLICIES.into()),
                revision: written.policies_revision,
                key: written.policies_key,
            },
            state: written.state.unwrap_or_else(|| settings::STATE.into()),
            socket: written.socket.unwrap_or_else(|| settings::SOCKET.into()),
            cgroup,
            bpffs: written.bpffs.unwrap_or_else(|| settings::BPFFS.into()),
            upstream: Upstream { roots: written.roots, resolve: written.resolve },
        })
    }

    /// Where the journal is.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.state.join(JOURNAL_FOLDER)
    }

    /// Where the counters of budgets are.
    #[must_use]
    pub fn budgets(&self) -> PathBuf {
        self.state.join("budgets.json")
    }

    /// The note of the folders that the daemon made for its socket.
    #[must_use]
    pub fn socket_note(&self) -> PathBuf {
        self.state.join("socket-folders")
    }

    /// Where the number of the last question is.
    #[must_use]
    pub fn questions(&self) -> PathBuf {
        self.state.join("questions")
    }

    /// The folder of all session cgroups.
    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.cgroup.join(enforcer_common::SESSIONS_CGROUP)
    }
}
