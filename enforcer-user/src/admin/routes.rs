// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the admin API answers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use enforcer_core::model::{Fault, SessionId};
use enforcer_core::record::{EventBody, Recorded, SessionOpened};

use super::host::{Host, Refusal, blocking};
use super::peer::{Asker, Peer};
use super::{
    AccountStatus, AskerStatus, PolicyStatus, ProgramStatus, SessionStatus, StartSession,
    StartedSession, Status,
};
use super::{obligations, records};
use crate::identity;
use crate::launch;
use crate::store::Health;

/// What the asking user may see of the state.
pub(super) async fn status(
    State(host): State<Arc<Host>>,
    Extension(asker): Extension<Asker>,
) -> Json<Status> {
    let mut status = state_of_everything(&host);
    status.asker = Some(AskerStatus { uid: asker.uid, grades: asker.grades.clone() });
    if !asker.reads_all() {
        records::leave_own(&host, &mut status, asker.uid).await;
        status.questions = obligations::open_questions(&host, &asker).await.unwrap_or_default();
        status.budgets_near_end.clear();
    }
    Json(status)
}

/// The state with what belongs to all users.
pub(super) fn state_of_everything(host: &Host) -> Status {
    let policy = host.enforcer.policy.load();
    let refused = host.policy_refused.read().unwrap_or_else(PoisonError::into_inner).clone();
    let health = host.enforcer.journal.health();
    let programs: Vec<_> = host
        .kernel
        .programs()
        .into_iter()
        .map(|found| ProgramStatus {
            name: found.name.to_owned(),
            is_attached: found.link.is_some(),
        })
        .collect();
    host.look();
    if let Some(missing) = programs.iter().find(|program| !program.is_attached) {
        let detail = format!("program `{}` is not attached", missing.name);
        host.enforcer.alarms.shows(Fault::Programs, detail);
    }
    let alarms = host.enforcer.alarms.all();
    let near_end =
        obligations::all_accounts(host).into_iter().filter(AccountStatus::is_near_end).collect();
    let sessions = host.sessions.all().into_iter();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        is_healthy: alarms.is_empty(),
        health: alarms,
        attempts: host.enforcer.attempts.counts(),
        policy: PolicyStatus {
            version: policy.version().clone(),
            folder: host.policies.clone(),
            revision: host.revision.clone(),
            mode: policy.mode(),
            agents: policy.agents().cloned().collect(),
            refused,
        },
        journal: match health {
            Health::Healthy => "healthy".to_owned(),
            Health::Failing(cause) => format!("failing: {cause}"),
        },
        journal_key: host.enforcer.journal.key(),
        programs,
        namespaces: host.namespaces.load(Ordering::Relaxed),
        tier: host.kernel.tier().name().to_owned(),
        tier_reason: host.kernel.tier().reason().map(str::to_owned),
        kernel_events_lost: host.kernel.events_lost().unwrap_or(0),
        warnings: host.selectors_without.read().unwrap_or_else(PoisonError::into_inner).clone(),
        cgroup: host.cgroup.clone(),
        sessions: sessions
            .map(|found| SessionStatus {
                id: found.id,
                agent: found.agent.clone(),
                launch: found.launch.clone(),
            })
            .collect(),
        sessions_of_others: 0,
        questions: obligations::all_questions(host),
        budgets_near_end: near_end,
        asker: None,
    }
}

pub(super) async fn start(
    State(host): State<Arc<Host>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(ask): Json<StartSession>,
) -> Result<Json<StartedSession>, Refusal> {
    let policy = host.enforcer.policy.load_full();
    let Some(mode) = policy.launch(&ask.agent) else {
        let known: Vec<&str> = policy.agents().map(|agent| agent.as_str()).collect();
        let error = format!("no agent `{}` in the policy in force", ask.agent);
        let hint = format!("the policy knows: {}", known.join(", "));
        return Err(Refusal::new(StatusCode::NOT_FOUND, error).hint(hint));
    };
    let launch = launch::launch(mode);
    let inherits = policy.environment(&ask.agent);
    let now = host.enforcer.clock.now();
    let id = SessionId::new(now, (host.random)());
    let masker = policy.masker_of_everything();
    let opened = SessionOpened {
        agent: ask.agent.clone(),
        process: identity::process(peer.pid, peer.uid, &masker),
        command: Recorded::command(&ask.command, &masker),
        policy: policy.version().clone(),
        launch: Some(launch.clone()),
        selected: None,
    };
    // Recorded first: a session that cannot be written down does not start.
    let opened =
        host.enforcer.journal.append_durable(id, now, EventBody::SessionOpened(opened)).await;
    opened.map_err(|error| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("nothing can be recorded: {error}"))
    })?;
    host.owners.learn(id, peer.uid);
    let sessions = Arc::clone(&host.sessions);
    let recorded = launch.clone();
    let started = blocking(move || sessions.start(id, ask.agent, recorded, peer.pid)).await?;
    let session = match started {
        Ok(session) => session,
        Err(error) => {
            let closed = EventBody::SessionClosed {};
            host.enforcer.journal.append_or_count(id, host.enforcer.clock.now(), closed);
            if host.kernel.is_full_of_sessions() {
                return Err(full(&host));
            }
            let error = crate::runtime::chain(&error);
            return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error));
        }
    };
    tracing::info!(session = %id, agent = %session.agent, pid = peer.pid, %launch, "session started");
    let environment = host.trust.environment();
    Ok(Json(StartedSession { session: id, launch, environment, inherits }))
}

/// No session more has room.
fn full(host: &Host) -> Refusal {
    let most = enforcer_common::capacity::GUARDED;
    let error = format!("no room for another session: {most} are guarded already");
    host.enforcer.alarms.raise(Fault::Sessions, error.clone());
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error)
        .hint("end some of those that run; `enforcer status` lists them")
}
