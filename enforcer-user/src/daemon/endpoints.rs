// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where endpoints are, for agents that capture endpoints: the names of the bundle in force are looked up now and
//! then, both families, and the programs are told.
//!
//! An address is kept for a while after its name has others, because clients keep answers. Of names that cannot be
//! looked up the last answer stands. Errs towards leaving alone: an address that nobody told is not taken. A host
//! with a wildcard is no name that could be looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use enforcer_core::model::{PolicyVersion, limits};
use enforcer_core::policy::Policy;
use tokio::task::JoinSet;

use crate::admin::Host;
use crate::dns::{self, Resolver};

/// What is known of the names.
pub(super) struct Endpoints {
    host: Arc<Host>,
    resolver: Resolver,
    /// Each name that was looked up, with its addresses and until when each is kept.
    known: BTreeMap<String, BTreeMap<IpAddr, Instant>>,
    /// What an earlier daemon told, until every name was looked up once.
    inherited: BTreeSet<SocketAddr>,
    began: Instant,
    /// The bundle that was looked at last, and when.
    looked: Option<(PolicyVersion, Instant)>,
    problems: BTreeSet<String>,
}

impl Endpoints {
    pub(super) fn new(host: Arc<Host>, resolver: Resolver) -> Self {
        let inherited = host.kernel.endpoints().unwrap_or_else(|error| {
            tracing::warn!(%error, "addresses of endpoints from before are not known");
            BTreeSet::new()
        });
        let (known, problems) = (BTreeMap::new(), BTreeSet::new());
        Self { host, resolver, known, inherited, began: Instant::now(), looked: None, problems }
    }

    /// Looks again and again, at once when the bundle is another one.
    pub(super) async fn watch(mut self) {
        let mut interval = tokio::time::interval(limits::RELOAD_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let version = self.host.enforcer.policy.load().version().clone();
            let is_due = self.looked.as_ref().is_none_or(|(seen, at)| {
                *seen != version || at.elapsed() >= limits::ENDPOINT_LOOKUP_INTERVAL
            });
            if is_due {
                self.look().await;
            }
        }
    }

    /// The first look, for as long as a start may take. What it does not find the next one does.
    pub(super) async fn first_look(&mut self) {
        if tokio::time::timeout(limits::ENDPOINT_FIRST_WAIT, self.look()).await.is_err() {
            tracing::warn!("names of endpoints are still being looked up");
        }
    }

    async fn look(&mut self) {
        let policy = self.host.enforcer.policy.load_full();
        let names = names(&policy);
        self.known.retain(|name, _| names.contains_key(name));
        let problems = self.look_up(names.keys()).await;
        let is_whole = names.keys().all(|name| self.known.contains_key(name));
        if is_whole || self.began.elapsed() >= limits::ENDPOINT_ADDRESS_KEEP {
            self.inherited.clear();
        }
        let addresses = addresses(&names, &self.known).chain(self.inherited.iter().copied());
        self.tell(&policy, &addresses.collect());
        for problem in problems.difference(&self.problems) {
            tracing::warn!("{problem}");
        }
        self.problems = problems;
        self.looked = Some((policy.version().clone(), Instant::now()));
    }

    /// Looks names up, some at once; of those that cannot be, why not.
    async fn look_up(&mut self, names: impl Iterator<Item = &String>) -> BTreeSet<String> {
        let mut problems = BTreeSet::new();
        let mut waiting = names.cloned();
        let mut running = JoinSet::new();
        loop {
            while running.len() < limits::ENDPOINT_LOOKUPS_MAX
                && let Some(name) = waiting.next()
            {
                let resolver = self.resolver.clone();
                running.spawn(async move { (resolver.lookup(&name).await, name) });
            }
            match running.join_next().await {
                None => return problems,
                Some(Ok((Ok(found), name))) => self.learn(name, found),
                // It is there, and has no address now.
                Some(Ok((Err(dns::Error::NoAddress { .. }), name))) => self.learn(name, Vec::new()),
                Some(Ok((Err(error), name))) => {
                    let why = crate::runtime::chain(&error);
                    problems
                        .insert(format!("endpoint host `{name}` is not known by address: {why}"));
                }
                Some(Err(error)) => {
                    problems.insert(format!("a lookup ended: {error}"));
                }
            }
        }
    }

    fn learn(&mut self, name: String, found: Vec<IpAddr>) {
        let now = Instant::now();
        let addresses = self.known.entry(name).or_default();
        addresses.retain(|_, until| *until > now);
        addresses.extend(found.into_iter().map(|ip| (ip, now + limits::ENDPOINT_ADDRESS_KEEP)));
    }

    /// The addresses first: without one nobody is watched.
    fn tell(&self, policy: &Policy, addresses: &BTreeSet<SocketAddr>) {
        let kernel = &self.host.kernel;
        let told = kernel.set_endpoints(addresses);
        match told.and_then(|left_out| kernel.watch_any(policy.any_agent()).map(|()| left_out)) {
            Ok(0) => {}
            Ok(left_out) => tracing::warn!(left_out, "endpoints have too many addresses"),
            Err(error) => {
                let error = crate::runtime::chain(&error);
                tracing::error!(error, "the kernel is not told where endpoints are");
            }
        }
    }
}

/// Every name that can be looked up, with its ports; none where no agent captures endpoints.
fn names(policy: &Policy) -> BTreeMap<String, BTreeSet<u16>> {
    let mut names: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    if !policy.captures_endpoints() {
        return names;
    }
    for endpoint in policy.endpoints() {
        for host in endpoint.hosts.iter().filter_map(|pattern| pattern.exact()) {
            names.entry(host.to_owned()).or_default().extend(&endpoint.ports);
        }
    }
    names
}

fn addresses<'a>(
    names: &'a BTreeMap<String, BTreeSet<u16>>,
    known: &'a BTreeMap<String, BTreeMap<IpAddr, Instant>>,
) -> impl Iterator<Item = SocketAddr> + 'a {
    known.iter().flat_map(|(name, addresses)| {
        let ports = names.get(name).into_iter().flatten();
        ports.flat_map(|port| addresses.keys().map(|ip| SocketAddr::new(*ip, *port)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        let file = |path: &str, text: &str| enforcer_core::policy::SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let rule = "@id(\"all\")\npermit (principal, action, resource);\n";
        let sources = enforcer_core::policy::Sources {
            files: vec![file("policy.toml", text), file("rules.cedar", rule)],
        };
        enforcer_core::policy::compile(&sources).unwrap().policy
    }

    const ENDPOINTS: &str = "[endpoints.a]\nhosts = [\"a.example\", \"*.b.example\"]\nports = [443, 8443]\n\
                             [endpoints.b]\nhosts = [\"b.example\"]\n";

    #[test]
    fn names_are_looked_up_only_where_an_agent_captures_endpoints() {
        let head = "version = 1\nmode = \"enforce\"\n";
        assert!(names(&policy(&format!("{head}[agents.x]\n{ENDPOINTS}"))).is_empty());
        let agent = "[agents.x]\nmatch = [{ any = true }]\ncapture = \"endpoints\"\n";
        let found = names(&policy(&format!("{head}{agent}{ENDPOINTS}")));
        let expected = BTreeMap::from([
            ("a.example".to_owned(), BTreeSet::from([443, 8443])),
            ("b.example".to_owned(), BTreeSet::from([443])),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn an_endpoint_is_every_address_of_its_names_at_each_of_its_ports() {
        let names = BTreeMap::from([("a".to_owned(), BTreeSet::from([443, 8443]))]);
        let ips: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let until = Instant::now();
        let of_a = ips.into_iter().map(|ip| (ip, until)).collect();
        let known = BTreeMap::from([("a".to_owned(), of_a), ("gone".to_owned(), BTreeMap::new())]);
        let found: BTreeSet<String> = addresses(&names, &known).map(|it| it.to_string()).collect();
        let expected =
            ["192.0.2.1:443", "192.0.2.1:8443", "[2001:db8::1]:443", "[2001:db8::1]:8443"];
        assert_eq!(found, expected.map(str::to_owned).into());
    }
}
