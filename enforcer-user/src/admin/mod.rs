// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The admin API on a Unix socket, and its client. Every surface is a client of it.
//!
//! Who may ask what stands in one table, [`ROUTES`]: the group `enforcer` starts agents and reads what is its
//! user's own, the group `enforcer-audit` reads everything, root changes. A guarded process may ask nothing, whatever
//! it runs as.

mod access;
mod accounts;
mod api;
mod audit;
mod client;
pub mod folder;
mod grade;
mod host;
mod metrics;
mod obligations;
mod peer;
mod people;
mod records;
mod routes;
mod server;
mod socket;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use enforcer_core::budget::Amount;
use enforcer_core::model::{
    AgentName, Alarm, Launch, Mode, PolicyVersion, SessionId, UnixMillis, limits,
};
use enforcer_core::policy::Environment;
use enforcer_core::record::Technique;
use serde::{Deserialize, Serialize};

use crate::approval::{Question, QuestionId};

pub use api::{Method, ROUTES, Route};
pub use audit::{Audit, Owners};
pub use client::{Client, Error};
pub use grade::{AUDIT_GROUP, Grade, Groups, Needs, USE_GROUP, members};
pub use host::Host;
pub use metrics::{Kind, METRICS, Metric};
pub use server::{bind, fresh_name, refuse_taken, serve};

/// `POST /v1/sessions`: make the asking process an agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartSession {
    /// The agent to become.
    pub agent: AgentName,
    /// The command that will replace the asking process, for the record.
    pub command: Vec<String>,
}

/// The answer: the asking process is an agent now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartedSession {
    /// The session.
    pub session: SessionId,
    /// How the asking process has to start its command; it stands in the record already.
    pub launch: Launch,
    /// Variables that make language runtimes trust the CA.
    pub environment: Vec<(String, String)>,
    /// Which variables of the asking process its command gets.
    pub inherits: Environment,
}

/// `GET /v1/status`: the state at a glance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// True if everything that can be checked is as it should be.
    pub is_healthy: bool,
    /// What is broken, since when, and what to do about it; empty if nothing is.
    #[serde(default)]
    pub health: Vec<Alarm>,
    /// How often each bypass technique was refused since the daemon started.
    #[serde(default)]
    pub attempts: BTreeMap<Technique, u64>,
    /// The policy in force.
    pub policy: PolicyStatus,
    /// Whether records can be written.
    pub journal: String,
    /// Fingerprint of the key that signs the journal: noted elsewhere, it shows whether the journal that is verified
    /// later is this one.
    #[serde(default)]
    pub journal_key: String,
    /// The programs in the kernel.
    pub programs: Vec<ProgramStatus>,
    /// Network namespaces in which guarded processes are served, besides the daemon's own.
    #[serde(default)]
    pub namespaces: usize,
    /// Which protections this kernel allows: `kernel` or `hardened`.
    pub tier: String,
    /// Why the tier is not `hardened`, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier_reason: Option<String>,
    /// Kernel events that were lost because the ring was full; verdicts were not.
    pub kernel_events_lost: u64,
    /// What is not broken and yet not what somebody may expect: selectors that mean nothing on this host.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Where the programs attach.
    pub cgroup: PathBuf,
    /// Sessions that are alive, as far as the asking user may read them.
    pub sessions: Vec<SessionStatus>,
    /// Sessions that are alive and that the asking user may not read.
    #[serde(default)]
    pub sessions_of_others: usize,
    /// Requests that wait for a person, as far as the asking user may see them.
    #[serde(default)]
    pub questions: OpenQuestions,
    /// Budgets of which little is left; only for who may read budgets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets_near_end: Vec<AccountStatus>,
    /// Who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asker: Option<AskerStatus>,
}

/// Who asked for the state, as the kernel saw it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AskerStatus {
    /// Effective user id.
    pub uid: u32,
    /// What this user may do.
    pub grades: Vec<Grade>,
}

/// The policy in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Its version.
    pub version: PolicyVersion,
    /// Its folder.
    pub folder: PathBuf,
    /// The git revision of which the folder is read, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What becomes of its decisions.
    #[serde(default)]
    pub mode: Mode,
    /// Its agents.
    pub agents: Vec<AgentName>,
    /// Why what is in the folder now is not in force, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// One program in the kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgramStatus {
    /// Its name.
    pub name: String,
    /// True if its link is in place.
    pub is_attached: bool,
}

/// One session that is alive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its id.
    pub id: SessionId,
    /// Its agent.
    pub agent: AgentName,
    /// How it was started; missing if the record of it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<Launch>,
}

/// The body of an answer of a route that is not 2xx.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// `GET /v1/approvals`: a question that stands, without the body.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpenQuestion {
    /// Its number.
    pub id: QuestionId,
    /// Name of the user of the process that asked, where this host has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What is asked.
    #[serde(flatten)]
    pub question: Question,
}

/// `GET /v1/approvals/{id}`: all of one; from then on the asking user may grant it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ShownQuestion {
    /// What lists show.
    #[serde(flatten)]
    pub open: OpenQuestion,
    /// The whole body, with everything masked that the bundle masks.
    pub body: Arc<str>,
}

/// `POST /v1/approvals/{id}`: the answer of the asking user, who can only grant what was shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// True if it may be sent.
    pub grants: bool,
    /// The digest of what was shown, or its beginning: at least 16 characters of it. Nothing is granted without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What became of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// True if more approvals are needed.
    pub is_open: bool,
}

/// Questions that wait for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenQuestions {
    /// How many.
    pub open: usize,
    /// When the oldest of them was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<UnixMillis>,
}

/// `GET /v1/budgets`: one counter of a budget, or a budget of which nothing is counted yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountStatus {
    /// The counter, by its name for `enforcer budget reset`; missing if nothing is counted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Name of the budget.
    pub budget: String,
    /// What it is counted for: `agent`, `user`, `endpoint` or `host`.
    pub per: String,
    /// Name of the agent or endpoint, or number of the user; missing for the host and where nothing is counted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Name of that user, where this host has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How much may be used in a window; nothing is limited once the policy in force has no such budget.
    pub limit: Bounded,
    /// Settled in this window.
    pub used: Amount,
    /// Reserved by exchanges that are under way.
    pub reserved: Amount,
    /// What is neither used nor reserved.
    pub left: Bounded,
    /// When the counter starts again at 0; missing if nothing is counted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
}

/// Amounts of what a budget limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounded {
    /// Tokens, if they are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Requests, if they are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
}

impl AccountStatus {
    /// True if at least [`limits::BUDGET_NEAR_END_PERCENT`] of it is used.
    #[must_use]
    pub fn is_near_end(&self) -> bool {
        let is_near = |used: u64, limit: Option<u64>| {
            limit.is_some_and(|limit| {
                u128::from(used) * 100
                    >= u128::from(limit) * u128::from(limits::BUDGET_NEAR_END_PERCENT)
            })
        };
        is_near(self.used.tokens, self.limit.tokens)
            || is_near(self.used.requests, self.limit.requests)
    }
}
