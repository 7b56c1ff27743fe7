// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong with the journal.

use std::path::{Path, PathBuf};

use enforcer_core::record::{CanonicalError, Hash};

/// What can go wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The content of a body file is not what its name says.
    #[error("the stored body `{hash}` was altered: {cause}")]
    BodyAltered {
        /// Its name.
        hash: Hash,
        /// What is wrong with it.
        cause: String,
    },
    /// A checkpoint is not what was signed.
    #[error("the checkpoint `{path}` cannot be trusted: {cause}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The journal is closed or closing.
    #[error("the journal is closed")]
    Closed,
    /// A file operation failed.
    #[error("failed to {operation} `{path}`")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The storage engine failed or panicked.
    #[error("failed to {operation} the journal period `{path}`: {cause}")]
    Engine {
        /// What was tried.
        operation: &'static str,
        /// On which period.
        path: PathBuf,
        /// What it said.
        cause: String,
    },
    /// An event has no canonical bytes, or stored bytes are not an event.
    #[error(transparent)]
    Event(#[from] CanonicalError),
    /// The journal cannot be written at the moment.
    #[error("the journal is failing: {0}")]
    Failing(String),
    /// The queue stayed full for as long as an event may wait.
    #[error("the queue of the journal is full")]
    Full,
    /// The signing key is not usable.
    #[error("the checkpoint key `{path}` is not usable: {cause}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// Another process has the journal open.
    #[error("the journal `{0}` is open in a running daemon")]
    Running(PathBuf),
    /// An event was not durable in time.
    #[error("the journal did not write an event in time")]
    Slow,
}

impl Error {
    pub(super) fn disk(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Disk { operation, path: path.to_owned(), source }
    }

    pub(super) fn engine(operation: &'static str, path: &Path, cause: impl ToString) -> Self {
        Self::Engine { operation, path: path.to_owned(), cause: cause.to_string() }
    }

    pub(super) fn checkpoint(path: &Path, cause: impl ToString) -> Self {
        Self::Checkpoint { path: path.to_owned(), cause: cause.to_string() }
    }

    /// The text with its causes, for places that keep only text.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            text.push_str(&format!(": {source}"));
            cause = source.source();
        }
        text
    }
}
