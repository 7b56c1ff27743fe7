// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What connects the rooms: each declares what it needs as a small trait, and here is what fills it.

use std::error::Error as StdError;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use enforcer_common::{PROTOCOL_TCP, PROTOCOL_UDP};
use enforcer_core::model::{AgentName, Fault, SessionId};
use enforcer_core::policy::Policy;
use enforcer_core::record::Process;

use crate::dns::{self, Names, Outcome, Resolver};
use crate::enforce::{self, Enforcer};
use crate::identity::{Guard, Sessions};
use crate::intake::{self, Origin};
use crate::kernel::{Kernel, OriginSeen, Origins};
use crate::runtime::Alarms;
use crate::upstream::Addresses;

/// Names that the policy in force uses.
pub(super) struct PolicyNames(pub(super) Arc<ArcSwap<Policy>>);

impl Names for PolicyNames {
    fn allows(&self, name: &str) -> bool {
        self.0.load().names_host(name)
    }
}

/// Addresses from `[upstream.resolve]`, else the original one if we gave it to the agent for this very
/// name, else from the host's resolver. Never one that the agent made up.
pub(super) struct ResolvedAddresses(pub(super) Resolver, pub(super) Alarms);

impl Addresses for ResolvedAddresses {
    fn known(&self, host: &str, original: SocketAddr) -> Vec<SocketAddr> {
        let fixed = self.0.fixed_addresses(host);
        let is_ours = || self.0.memory().is_known(host, original.ip());
        fixed.unwrap_or_else(|| is_ours().then_some(original).into_iter().collect())
    }

    fn resolved<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = Vec<SocketAddr>> + Send + 'a>> {
        Box::pin(async move {
            if self.0.fixed_addresses(host).is_some() {
                return Vec::new();
            }
            let found = self.0.lookup(host).await;
            let addresses = found.unwrap_or_else(|error| {
                if let dns::Error::Lookup { source, .. } = &error
                    && source.is_of_the_host()
                {
                    self.1.raise(Fault::Resolver, source.to_string());
                }
                tracing::warn!(host, %error, "upstream name not resolved");
                Vec::<IpAddr>::new()
            });
            addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
        })
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
    ) -> Result<(), Box<dyn StdError + Send + Sync>> {
        Ok(self.0.guard(cgroup_id, session, agent)?)
    }

    fn unguard(&self, cgroup_id: u64) -> Result<(), Box<dyn StdError + Send + Sync>> {
        Ok(self.0.unguard(cgroup_id)?)
    }
}

/// Origins from the kernel's map, with the agent of their session.
pub(super) struct KernelOrigins {
    origins: Origins,
    sessions: Arc<Sessions>,
}

impl KernelOrigins {
    pub(super) const fn new(origins: Origins, sessions: Arc<Sessions>) -> Self {
        Self { origins, sessions }
    }

    fn seen(&self, peer: SocketAddr, protocol: u16) -> Option<OriginSeen> {
        self.origins.take(peer, protocol).unwrap_or_else(|error| {
            tracing::error!(%peer, %error, "origin not readable");
            None
        })
    }
}

impl intake::Origins for KernelOrigins {
    fn take(&self, peer: SocketAddr) -> Option<Origin> {
        let seen = self.seen(peer, PROTOCOL_TCP)?;
        let session = self.sessions.find(seen.session)?;
        let (destination, id) = (seen.destination, seen.session);
        let process = process(seen);
        Some(Origin { destination, session: id, agent: session.agent.clone(), process })
    }
}

/// Writes down refused names, with who asked.
pub(super) fn refused_names(
    cx: &Arc<Enforcer>,
    origins: &Arc<KernelOrigins>,
) -> impl Fn(SocketAddr, &Outcome) + Send + Sync + 'static {
    let (cx, origins) = (Arc::clone(cx), Arc::clone(origins));
    move |peer, outcome| {
        let name = match outcome {
            Outcome::Refused { name, .. } => name,
            Outcome::Failed { failure, .. } if failure.is_of_the_host() => {
                return cx.alarms.raise(Fault::Resolver, failure.to_string());
            }
            _ => return,
        };
        let seen = origins.seen(peer, PROTOCOL_UDP);
        let session = seen.as_ref().map_or(SessionId::HOST, |seen| seen.session);
        let process = seen.map(process);
        enforce::resolve_refused(&cx, session, process, name);
    }
}

fn process(seen: OriginSeen) -> Process {
    let (started, parent) = (Some(seen.started), Some(seen.parent));
    Process { started, parent, ..Process::new(seen.pid, seen.uid, seen.comm) }
}

/// Random bits for session ids. Without a random source, ids are told apart by time alone.
pub(super) fn random() -> u32 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u32::from_ne_bytes(bytes),
        Err(_unspecified) => 0,
    }
}
