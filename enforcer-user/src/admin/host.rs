// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the admin API speaks about, and how it refuses.

use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use enforcer_core::model::Fault;

use super::Problem;
use super::audit::{Audit, Owners};
use super::grade::Groups;
use crate::enforce::Enforcer;
use crate::identity::Sessions;
use crate::kernel::Kernel;
use crate::store::{self, Health};
use crate::tls::Trust;

/// What the API speaks about; put together by the daemon.
#[derive(Debug)]
pub struct Host {
    /// Policy in force, journal, clock.
    pub enforcer: Arc<Enforcer>,
    /// Sessions that are alive.
    pub sessions: Arc<Sessions>,
    /// Files and variables that make clients trust the CA.
    pub trust: Trust,
    /// The programs.
    pub kernel: Arc<Kernel>,
    /// Network namespaces that are served besides the daemon's own.
    pub namespaces: Arc<AtomicUsize>,
    /// The bundle's folder.
    pub policies: PathBuf,
    /// The git revision of which that folder is read, where that is so.
    pub revision: Option<String>,
    /// Where the programs attach.
    pub cgroup: PathBuf,
    /// Why what is in the bundle's folder is not in force, where that is so.
    pub policy_refused: RwLock<Option<String>>,
    /// Selectors that mean nothing on this host, each with its agent and why.
    pub selectors_without: RwLock<Vec<String>>,
    /// 20 random bits for each session id.
    pub random: fn() -> u32,
    /// Groups whose members may ask.
    pub groups: Groups,
    /// To whom sessions belong.
    pub owners: Owners,
    /// Who read what belongs to others.
    pub audit: Audit,
}

impl Host {
    /// Raises and clears the alarms about what can be read off at any time.
    pub fn look(&self) {
        let alarms = &self.enforcer.alarms;
        match self.enforcer.journal.health() {
            Health::Failing(cause) => alarms.raise(Fault::Journal, cause),
            Health::Healthy => alarms.clear(Fault::Journal),
        }
        let refused = self.policy_refused.read().unwrap_or_else(PoisonError::into_inner).clone();
        match refused {
            Some(refused) => alarms.raise(Fault::Policy, refused),
            None => alarms.clear(Fault::Policy),
        }
        if alarms.is_on(Fault::Sessions) && !self.kernel.is_full_of_sessions() {
            alarms.clear(Fault::Sessions);
        }
    }
}

/// An answer that is not 2xx.
#[derive(Debug)]
pub(super) struct Refusal(StatusCode, Problem);

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self(status, Problem { error: error.into(), hint: None })
    }

    #[cfg(test)]
    pub(super) fn into_problem(self) -> Problem {
        self.1
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.1.hint = Some(hint.into());
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        let status = match &error {
            store::Error::Disk { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                StatusCode::NOT_FOUND
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, crate::runtime::chain(&error))
    }
}

/// Does what may wait for the disk or a directory on a thread for such work.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the request failed: {error}"))
    })
}
