// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the admin API answers.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use enforcer_core::model::{Fault, SessionId, limits};
use enforcer_core::record::{
    self, EventBody, Hash, Hook, NetworkRefused, Recorded, Repeated, SessionOpened, Technique,
};

use super::obligations;
use super::server::Peer;
use super::{
    PolicyStatus, Problem, ProgramStatus, SessionStatus, StartSession, StartedSession, Status,
};
use crate::enforce::{self, Enforcer};
use crate::identity::{self, Sessions, Witness};
use crate::kernel::Kernel;
use crate::launch;
use crate::store::{self, EventPage, Health};
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
    /// 20 random bits for each session id.
    pub random: fn() -> u32,
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

/// All routes.
pub(super) fn router(host: Arc<Host>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/sessions", get(sessions).post(start))
        .route("/v1/sessions/{id}/events", get(events))
        .route("/v1/bodies/{hash}", get(body))
        .route("/v1/verify", get(verify))
        .route("/v1/metrics", get(metrics))
        .route("/v1/budgets", get(obligations::budgets))
        .route("/v1/budgets/reset", post(obligations::reset))
        .route("/v1/approvals", get(obligations::questions))
        .route("/v1/approvals/{id}", get(obligations::question).post(obligations::answer))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&host), outsiders_only))
        .layer(DefaultBodyLimit::max(limits::ADMIN_BODY_BYTES_MAX))
        .with_state(host)
}

/// SECURITY: a guarded root could otherwise read the journal, or start a session as another agent.
async fn outsiders_only(
    State(host): State<Arc<Host>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    // The id of a process that is gone may be another's by now, so the one that connected has to live.
    let is_the_same = peer.started.is_some() && identity::started(peer.pid) == peer.started;
    // By its label too: a guarded root may have left the cgroup. What cannot be read is not trusted.
    let is_labeled = !matches!(host.kernel.is_agent(peer.pid), Ok(false));
    if !is_the_same || is_labeled || identity::is_guarded(peer.pid, host.sessions.folder()) {
        tracing::warn!(pid = peer.pid, "a guarded process asked the admin API");
        attempted(&host, peer);
        let refusal = Refusal::new(StatusCode::FORBIDDEN, "a guarded process may not ask")
            .hint("run this command from a shell that is not inside `enforcer run`");
        return refusal.into_response();
    }
    next.run(request).await
}

fn attempted(host: &Host, peer: Peer) {
    let session = host.kernel.labeled(peer.pid).ok().flatten().unwrap_or(SessionId::HOST);
    let masker = host.enforcer.policy.load().masker_of_everything();
    let refused = NetworkRefused {
        process: identity::process(peer.pid, peer.uid, &masker),
        hook: Hook::Admin.word().into(),
        refusal: record::Refusal::Guarded.word().into(),
        technique: Technique::AdminApi,
        destination: None,
        socket: "unix/stream/0".into(),
        repeated: Repeated::ONCE,
    };
    let witness = peer.started.map(Witness::of_ticks);
    enforce::network_refused(&host.enforcer, session, refused, witness);
}

async fn status(State(host): State<Arc<Host>>) -> Json<Status> {
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
    let sessions = host.sessions.all().into_iter();
    Json(Status {
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
        programs,
        namespaces: host.namespaces.load(Ordering::Relaxed),
        tier: host.kernel.tier().name().to_owned(),
        tier_reason: host.kernel.tier().reason().map(str::to_owned),
        kernel_events_lost: host.kernel.events_lost().unwrap_or(0),
        cgroup: host.cgroup.clone(),
        sessions: sessions
            .map(|found| SessionStatus {
                id: found.id,
                agent: found.agent.clone(),
                launch: found.launch.clone(),
            })
            .collect(),
    })
}

/// The numbers of `status` for a scraper, in the text format of Prometheus (version 0.0.4).
async fn metrics(state: State<Arc<Host>>) -> String {
    let Json(status) = status(state).await;
    let mode = if status.policy.mode.is_enforce() { "enforce" } else { "observe" };
    let mut text = String::new();
    let mut gauge = |name: &str, labels: &str, value: u64| {
        // Writing into a String does not fail.
        let _infallible = writeln!(text, "enforcer_{name}{labels} {value}");
    };
    let policy = format!("{{version=\"{}\",mode=\"{mode}\"}}", status.policy.version);
    gauge("policy_info", &policy, 1);
    gauge("policy_refused", "", u64::from(status.policy.refused.is_some()));
    gauge("healthy", "", u64::from(status.is_healthy));
    gauge("sessions", "", status.sessions.len() as u64);
    gauge("kernel_events_lost_total", "", status.kernel_events_lost);
    for alarm in &status.health {
        gauge("alarm", &format!("{{fault=\"{}\"}}", alarm.name.name()), 1);
    }
    for (technique, count) in &status.attempts {
        gauge("attempts_total", &format!("{{technique=\"{}\"}}", technique.word()), *count);
    }
    text
}

async fn start(
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
    Ok(Json(StartedSession { session: id, launch, environment: host.trust.environment() }))
}

/// No session more has room.
fn full(host: &Host) -> Refusal {
    let most = enforcer_common::capacity::GUARDED;
    let error = format!("no room for another session: {most} are guarded already");
    host.enforcer.alarms.raise(Fault::Sessions, error.clone());
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error)
        .hint("end some of those that run; `enforcer status` lists them")
}

async fn sessions(
    State(host): State<Arc<Host>>,
) -> Result<Json<Vec<store::SessionSummary>>, Refusal> {
    let found = read(&host, |reader| reader.sessions()).await?;
    Ok(Json(found))
}

async fn events(
    State(host): State<Arc<Host>>,
    Path(id): Path<SessionId>,
    Query(start): Query<Start>,
) -> Result<Json<EventPage>, Refusal> {
    let found = read(&host, move |reader| reader.page(id, start.from)).await?;
    Ok(Json(found))
}

async fn body(State(host): State<Arc<Host>>, Path(hash): Path<String>) -> Result<Vec<u8>, Refusal> {
    let hash: Hash = hash
        .parse()
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("not a hash: {error}")))?;
    read(&host, move |reader| reader.body_of(&hash)).await
}

async fn verify(
    State(host): State<Arc<Host>>,
    Query(only): Query<Only>,
) -> Result<Json<store::VerifyReport>, Refusal> {
    let found = read(&host, move |reader| reader.verify(only.session, &mut |_| {})).await?;
    Ok(Json(found))
}

/// Where a page of events starts.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    #[serde(default)]
    from: u64,
}

/// Which session is verified; all without one.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Only {
    session: Option<SessionId>,
}

/// Reads what is durable, on a thread that may wait for the disk.
async fn read<T: Send + 'static>(
    host: &Host,
    work: impl FnOnce(&store::Reader) -> Result<T, store::Error> + Send + 'static,
) -> Result<T, Refusal> {
    let journal = host.enforcer.journal.clone();
    journal.sync().await?;
    Ok(blocking(move || journal.reader().and_then(|reader| work(&reader))).await??)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the request failed: {error}"))
    })
}
