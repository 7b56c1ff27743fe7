// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What connects the rooms: each declares what it needs as a small trait, and here is what fills it.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use enforcer_common::{FileId, Label, SessionStart};
use enforcer_core::model::{AgentName, Capture, Fault, Launch, Mode, SessionId};
use enforcer_core::policy::Policy;
use enforcer_core::record::{EventBody, Process, Recorded};
use tokio::net::TcpStream;

use super::programs::Programs;
use super::select;
use crate::dns::{self, Names, Outcome, Resolver};
use crate::enforce::{self, Enforcer};
use crate::identity::{Guard, GuardError, Session, Sessions};
use crate::intake::{self, Origin};
use crate::kernel::{self, Kernel, OriginSeen, Origins};
use crate::runtime::Alarms;
use crate::store::Journal;
use crate::upstream::Addresses;

/// Names that the policy in force lets an agent use.
pub(super) struct PolicyNames(pub(super) Arc<ArcSwap<Policy>>);

impl Names for PolicyNames {
    fn allows(&self, agent: &AgentName, name: &str) -> bool {
        let policy = self.0.load();
        policy.mode() == Mode::Observe || policy.names_host_for(agent, name)
    }
}

/// Addresses from `[upstream.resolve]`, else the original one if we gave it to the agent for this very
/// name, else from the host's resolver. Never one that the agent made up.
pub(super) struct ResolvedAddresses {
    pub(super) resolver: Resolver,
    pub(super) alarms: Alarms,
    /// Says what of a name may be logged.
    pub(super) policy: Arc<ArcSwap<Policy>>,
}

impl Addresses for ResolvedAddresses {
    fn known(&self, host: &str, original: SocketAddr) -> Vec<SocketAddr> {
        let fixed = self.resolver.fixed_addresses(host);
        let is_ours = || self.resolver.memory().is_known(host, original.ip());
        fixed.unwrap_or_else(|| is_ours().then_some(original).into_iter().collect())
    }

    fn resolved<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = Vec<SocketAddr>> + Send + 'a>> {
        Box::pin(async move {
            if self.resolver.fixed_addresses(host).is_some() {
                return Vec::new();
            }
            let found = self.resolver.lookup(host).await;
            let addresses = found.unwrap_or_else(|error| {
                if let dns::Error::Lookup { source, .. } = &error
                    && source.is_of_the_host()
                {
                    self.alarms.raise(Fault::Resolver, source.to_string());
                }
                // Agents choose names, and the error names it again.
                let everything = self.policy.load().masker_of_everything();
                let error = Recorded::of(&crate::runtime::chain(&error), &everything);
                tracing::warn!(%error, "upstream name not resolved");
                Vec::<IpAddr>::new()
            });
            addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
        })
    }
}

/// How a session was started, from its first record. Reads the disk; what cannot be read is not known.
pub(super) fn recorded_launch(journal: &Journal, session: SessionId) -> Option<Launch> {
    let read = journal.reader().and_then(|reader| reader.events(session, 0).next().transpose());
    let first = read.inspect_err(|error| {
        tracing::warn!(%session, %error, "it is not known how the session was started");
    });
    match first.ok().flatten()?.body {
        EventBody::SessionOpened(opened) => opened.launch,
        _ => None,
    }
}

/// Gives labels to the kernel.
pub(super) struct KernelGuard(pub(super) Arc<Kernel>);

impl Guard for KernelGuard {
    fn guard(
        &self,
        cgroup_id: u64,
        session: SessionId,
        agent: &AgentName,
    ) -> Result<(), GuardError> {
        Ok(self.0.guard(cgroup_id, session, agent)?)
    }

    fn unguard(&self, cgroup_id: u64) -> Result<(), GuardError> {
        Ok(self.0.unguard(cgroup_id)?)
    }

    fn file(&self, path: &Path) -> Result<FileId, GuardError> {
        Ok(kernel::file_id(path)?)
    }

    fn label_of(&self, session: SessionId, agent: &AgentName) -> Result<Label, GuardError> {
        Ok(kernel::label(session, agent)?)
    }

    fn agent_of(&self, label: &Label) -> AgentName {
        kernel::agent_name(label)
    }

    fn session_of(&self, pid: u32) -> Result<Option<SessionId>, GuardError> {
        Ok(self.0.labeled(pid)?)
    }

    fn is_agent(&self, pid: u32) -> Result<bool, GuardError> {
        Ok(self.0.is_agent(pid)?)
    }

    fn labels(&self) -> Result<Vec<(u32, SessionId)>, GuardError> {
        Ok(self.0.labels()?)
    }

    fn begin(&self, start: &SessionStart) -> Result<(), GuardError> {
        Ok(self.0.begin(start)?)
    }

    fn begun_as(&self, session: SessionId) -> Result<Option<SessionStart>, GuardError> {
        Ok(self.0.begun_as(session)?)
    }

    fn forget(&self, session: SessionId) -> Result<(), GuardError> {
        Ok(self.0.forget(session)?)
    }

    fn label(&self, pid: u32, session: SessionId, capture: Capture) -> Result<(), GuardError> {
        Ok(self.0.label_as(pid, session, capture)?)
    }

    fn unlabel(&self, pid: u32) -> Result<(), GuardError> {
        Ok(self.0.unlabel(pid)?)
    }

    fn cut(&self, pid: u32, uid: u32, session: SessionId) -> Result<u64, GuardError> {
        Ok(self.0.cut(pid, uid, session)?)
    }
}

/// Origins from the kernel's map, with the agent of their session.
pub(super) struct KernelOrigins {
    origins: Origins,
    sessions: Arc<Sessions>,
    enforcer: Arc<Enforcer>,
    programs: Arc<Programs>,
}

impl KernelOrigins {
    pub(super) fn new(origins: Origins, sessions: Arc<Sessions>, enforcer: Arc<Enforcer>) -> Self {
        Self { origins, sessions, enforcer, programs: Arc::default() }
    }

    /// The session of a peer. One that began a moment ago is asked for in the kernel: its process may be
    /// faster than the event about it.
    fn session(&self, id: SessionId) -> Option<Arc<Session>> {
        self.sessions.find(id).or_else(|| {
            select::learn(&self.sessions, &self.enforcer, id);
            self.sessions.find(id)
        })
    }

    /// The origins of peers in another network namespace.
    pub(super) fn within(&self, netns: u64) -> Self {
        Self {
            origins: self.origins.within(netns),
            sessions: Arc::clone(&self.sessions),
            enforcer: Arc::clone(&self.enforcer),
            programs: Arc::clone(&self.programs),
        }
    }

    fn process(&self, seen: &OriginSeen) -> Process {
        self.programs.process(seen, &self.enforcer.policy.load().masker_of_everything())
    }

    fn of_query(&self, peer: SocketAddr) -> Option<OriginSeen> {
        self.origins.of_query(peer).unwrap_or_else(|error| unreadable(peer, &error))
    }
}

fn unreadable(peer: SocketAddr, error: &kernel::Error) -> Option<OriginSeen> {
    tracing::error!(%peer, %error, "origin not readable");
    None
}

impl intake::Origins for KernelOrigins {
    fn take(&self, connection: &TcpStream, peer: SocketAddr) -> Option<Origin> {
        let seen = self.origins.take(connection, peer);
        let seen = seen.unwrap_or_else(|error| unreadable(peer, &error))?;
        let session = self.session(seen.session)?;
        let process = self.process(&seen);
        Some(Origin {
            destination: seen.destination,
            session: seen.session,
            agent: session.agent.clone(),
            capture: session.capture,
            process,
        })
    }
}

/// Who asks for a name.
pub(super) struct Asker {
    agent: AgentName,
    session: SessionId,
    process: Process,
}

impl AsRef<AgentName> for Asker {
    fn as_ref(&self) -> &AgentName {
        &self.agent
    }
}

impl KernelOrigins {
    /// Who sent a query from this address.
    pub(super) fn asker(&self, peer: SocketAddr) -> Option<Asker> {
        let seen = self.of_query(peer)?;
        let agent = self.session(seen.session)?.agent.clone();
        let process = self.process(&seen);
        Some(Asker { agent, session: seen.session, process })
    }
}

/// Writes down refused names, with who asked.
pub(super) fn refused_names(
    cx: &Arc<Enforcer>,
) -> impl Fn(Option<Asker>, &Outcome) + Send + Sync + 'static {
    let cx = Arc::clone(cx);
    move |asker, outcome| {
        let name = match outcome {
            Outcome::Refused { name, .. } => name,
            Outcome::Failed { failure, .. } if failure.is_of_the_host() => {
                return cx.alarms.raise(Fault::Resolver, failure.to_string());
            }
            _ => return,
        };
        let session = asker.as_ref().map_or(SessionId::HOST, |asker| asker.session);
        enforce::resolve_refused(&cx, session, asker.map(|asker| asker.process), name);
    }
}

/// A key that nobody else has and that ends with the daemon.
///
/// # Errors
/// There is no random source.
pub(super) fn key() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_unspecified| anyhow::anyhow!("no random source"))?;
    Ok(bytes)
}

/// Random bits for session ids. Without a random source, ids are told apart by time alone.
pub(super) fn random() -> u32 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u32::from_ne_bytes(bytes),
        Err(_unspecified) => 0,
    }
}
