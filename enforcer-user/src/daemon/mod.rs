// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The composition root: builds every room, hands each what it needs, and ends them in order.
//!
//! The order of the start is the order of safety: settings and policy are valid, the journal writes, the
//! doors are open, and only then do the programs point at them. Sessions of an earlier daemon go on.

mod endpoints;
mod kernel_events;
mod mask_key;
mod namespaces;
mod policy;
pub mod preconditions;
mod programs;
mod reception;
mod select;
mod signals;
mod watch;
mod wiring;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use enforcer_core::model::{SessionId, limits};
use enforcer_core::policy::Policy;
use enforcer_core::record::EventBody;
use tokio::sync::watch::Sender;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use endpoints::Endpoints;
use namespaces::Namespaces;
use reception::Reception;

use crate::admin::{self, Host};
use crate::approval::Approvals;
use crate::budget::Budgets;
use crate::config::Config;
use crate::config::place::Held;
use crate::dns::{self, Resolver};
use crate::enforce::{self, Attempts, Buffers, Denials, Enforcer};
use crate::identity::{self, Claim, Session, Sessions};
use crate::intake::{self, Doors};
use crate::kernel::{self, Kernel, Ports};
use crate::proxy::Proxy;
use crate::runtime::{self, Alarms, Clock, Drain, Draining, Spares};
use crate::store::Store;
use crate::tls::{self, Anchors};
use crate::upstream::Upstream;

use watch::Watch;

pub use policy::{Error as PolicyError, load as load_policy, load_from as load_policy_from};

/// Time between two looks at idle upstream connections.
const REAP_INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// Whatever kept it from starting; the caller turns the error into an exit code.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let (drain, draining) = Drain::new();
    let reload = signals::Reload::new()?;
    let ground = Ground::take(&config)?;
    let store = Store::open(&crate::store::Config::at(config.journal()), ground.clock.now())?;
    let key = store.journal().key();
    let daemon = match Daemon::start(&config, ground, &store, &draining, reload).await {
        Ok(daemon) => daemon,
        Err(error) => {
            // In order, so that it is not taken for a crash.
            if let Err(error) = store.close().await {
                tracing::error!(error = runtime::chain(&error), "the journal is not closed");
            }
            return Err(error);
        }
    };
    drop(draining);
    tracing::info!(key, "the journal is signed with this key; keep a note of it elsewhere");
    tracing::info!(socket = %config.socket.display(), "ready");
    signals::end().await?;
    tracing::info!("draining");
    daemon.stop(drain, &config, store).await
}

/// What a daemon holds before it writes anything.
struct Ground {
    spares: Spares,
    kernel: kernel::Config,
    held: Held,
    policy: Policy,
    claim: Claim,
    clock: Clock,
    /// No daemon recorded anything here before.
    is_first: bool,
}

impl Ground {
    /// Looks at everything that can be looked at, and takes the claim on the host.
    fn take(config: &Config) -> anyhow::Result<Self> {
        // First of all: low numbers stay below a limit that somebody lowers.
        let spares = Spares::hold(limits::DESCRIPTORS_SPARE);
        let kernel = kernel::Config { cgroup: config.cgroup.clone(), bpffs: config.bpffs.clone() };
        kernel::check(&kernel)?;
        // Held from the first look on: nobody puts another folder in its place unseen.
        let held = config.policies.open().map_err(PolicyError::from)?;
        let policy = policy::load_held(&held)?;
        preconditions::require(config)?;
        // Before anything is made or replaced that a running daemon uses.
        let claim = Claim::take(&config.sessions())?;
        admin::refuse_taken(&config.socket).map_err(|error| socket_failed(config, &error))?;
        let (clock, is_first) = (Clock::system(), !config.journal().exists());
        Ok(Self { spares, kernel, held, policy, claim, clock, is_first })
    }
}

fn socket_failed(config: &Config, error: &std::io::Error) -> anyhow::Error {
    anyhow::anyhow!("failed to open `{}`: {error}", config.socket.display())
}

/// The recorded ports, so that what is in flight goes on; others where somebody took them meanwhile. The
/// programs are pointed at the new ones before the daemon serves, so nobody stays with a stranger.
async fn open_doors(recorded: Option<Ports>) -> Result<Doors, intake::Error> {
    match Doors::open(recorded.map(|ports| (ports.proxy, ports.resolver))).await {
        Err(error @ intake::Error::Listen { .. }) => {
            tracing::warn!(error = runtime::chain(&error), "the ports change");
            Doors::open(None).await
        }
        opened => opened,
    }
}

fn open_resolver(config: &Config, policy: &Arc<ArcSwap<Policy>>) -> Result<Resolver, dns::Error> {
    let fixed = config.upstream.resolve.clone();
    let dns = dns::Config { upstream: watch::host_resolvers()?, fixed };
    Ok(Resolver::new(dns, Arc::new(wiring::PolicyNames(Arc::clone(policy)))))
}

/// What every exchange needs.
fn open_enforcer(
    config: &Config,
    policy: Arc<ArcSwap<Policy>>,
    (store, is_first): (&Store, bool),
    clock: Clock,
    resolver: &Resolver,
    anchors: &Anchors,
) -> anyhow::Result<Enforcer> {
    let alarms = Alarms::new(clock.clone());
    let addresses = Arc::new(wiring::ResolvedAddresses {
        resolver: resolver.clone(),
        alarms: alarms.clone(),
        policy: Arc::clone(&policy),
    });
    let numbers = config.questions();
    let approvals = Approvals::open(wiring::key()?, &numbers, is_first, clock.now())
        .with_context(|| format!("failed to read `{}`", numbers.display()))?;
    Ok(Enforcer {
        policy,
        journal: store.journal(),
        upstream: Upstream::new(tls::verified_by(anchors)?, addresses),
        approvals,
        buffers: Buffers::default(),
        budgets: Budgets::open(&config.budgets())?,
        attempts: Attempts::default(),
        denials: Denials::default(),
        alarms,
        clock,
    })
}

fn identity_config(config: &Config, kernel: &Kernel) -> Result<identity::Config, kernel::Error> {
    let attached = kernel.attached_below_root()?;
    Ok(identity::Config { sessions: config.sessions(), attached })
}

/// Everything that lives as long as the daemon.
struct Daemon {
    host: Arc<Host>,
    claim: Claim,
    /// Ends every connection at once when true.
    cut: Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Daemon {
    async fn start(
        config: &Config,
        ground: Ground,
        store: &Store,
        draining: &Draining,
        reload: signals::Reload,
    ) -> anyhow::Result<Self> {
        let Ground { spares, kernel: kernel_config, held, policy, claim, clock, is_first } = ground;
        let ca = tls::Ca::open_or_create(&config.state)?;
        let trust = tls::write_trust(&config.state, &ca, &tls::system_roots())?;
        let policy = policy.with_hash_key(mask_key::open_or_create(&config.state)?);
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let resolver = open_resolver(config, &policy)?;
        let anchors = Anchors::read(&config.upstream.roots)?;
        let enforcer = open_enforcer(config, policy, (store, is_first), clock, &resolver, &anchors);
        let enforcer = Arc::new(enforcer?);
        watch::record_faults(&enforcer);

        let doors = open_doors(kernel::recorded_ports(&kernel_config)).await?;
        let ports = Ports { proxy: doors.proxy_port, resolver: doors.resolver_port };
        let kernel = Arc::new(Kernel::attach(&kernel_config, ports)?);
        let groups = admin::Groups::of_host();
        let listener = admin::bind(&config.socket, &config.socket_note(), &groups)
            .map_err(|error| socket_failed(config, &error))?;

        let guard = Arc::new(wiring::KernelGuard(Arc::clone(&kernel)));
        let sessions = Arc::new(Sessions::new(identity_config(config, &kernel)?, guard));
        let ended = sessions
            .recover(kernel.guarded()?, |id| wiring::recorded_launch(&enforcer.journal, id));
        let host = Arc::new(Host {
            enforcer: Arc::clone(&enforcer),
            sessions: Arc::clone(&sessions),
            trust,
            kernel: Arc::clone(&kernel),
            policies: config.policies.folder.clone(),
            revision: config.policies.revision.clone(),
            cgroup: config.cgroup.clone(),
            policy_refused: std::sync::RwLock::new(None),
            selectors_without: std::sync::RwLock::default(),
            namespaces: Arc::default(),
            random: wiring::random,
            groups,
            owners: admin::Owners::default(),
            audit: admin::Audit::default(),
        });
        let mut daemon = Self { host, claim, cut: Sender::new(false), tasks: Vec::new() };
        let ended_now = ended.iter().map(|session| session.id).collect();
        daemon.record_start(ended);
        let selection = daemon.first_look();
        daemon.watch_endpoints(resolver.clone()).await;
        daemon.close_forgotten(ended_now);
        let reception = daemon.reception(&resolver, ca, draining)?;
        let served = reception.serve(doors, None);
        daemon.tasks.extend(served);
        let wanted = daemon.serve_namespaces(reception)?;
        let told = kernel_events::Told { wanted, begun: Arc::new(Notify::new()) };
        let watch = Watch {
            host: Arc::clone(&daemon.host),
            keeper: Arc::new(Mutex::new(kernel.keep()?)),
            resolver,
            roots: config.upstream.roots.clone(),
            anchors,
            spares: Arc::new(spares),
        };
        let bundle = policy::watch(Arc::clone(&daemon.host), held, reload);
        daemon.tasks.push(runtime::spawn("policy watch", bundle));
        daemon.serve_host(listener, watch, draining, selection, told)?;
        Ok(daemon)
    }

    /// What takes in the connections of agents.
    fn reception(
        &self,
        resolver: &Resolver,
        ca: tls::Ca,
        draining: &Draining,
    ) -> anyhow::Result<Reception> {
        let Host { enforcer, kernel, sessions, .. } = &*self.host;
        let proxy = Proxy {
            enforcer: Arc::clone(enforcer),
            resolver: resolver.clone(),
            tls: tls::server_config(ca)?,
            draining: draining.clone(),
        };
        let (sessions, enforcer) = (Arc::clone(sessions), Arc::clone(enforcer));
        let origins = wiring::KernelOrigins::new(kernel.origins(), sessions, Arc::clone(&enforcer));
        Ok(Reception {
            enforcer,
            proxy,
            resolver: resolver.clone(),
            origins: Arc::new(origins),
            places: intake::places(),
            draining: draining.clone(),
            cut: self.cut.subscribe(),
        })
    }

    /// Before anything is served, so that who ran before the daemon is guarded when it says that it is ready.
    fn first_look(&self) -> select::Selection {
        let mut selection = select::Selection::new(Arc::clone(&self.host));
        selection.look();
        selection
    }

    /// As early, where it is quick.
    async fn watch_endpoints(&mut self, resolver: Resolver) {
        let mut endpoints = Endpoints::new(Arc::clone(&self.host), resolver);
        endpoints.first_look().await;
        self.tasks.push(runtime::spawn("endpoints", endpoints.watch()));
    }

    fn record_start(&self, ended: Vec<Arc<Session>>) {
        let cx = &self.host.enforcer;
        let policy = cx.policy.load().version().clone();
        let loaded = EventBody::PolicyLoaded { policy };
        cx.journal.append_or_count(SessionId::HOST, cx.clock.now(), loaded);
        for session in ended {
            self.end_session(&session);
        }
    }

    /// Closes sessions in the record that ended where nobody saw it: the host was restarted, or everything
    /// was uninstalled while they were open. Those in `known` were closed already.
    fn close_forgotten(&mut self, mut known: BTreeSet<SessionId>) {
        let cx = Arc::clone(&self.host.enforcer);
        let began = cx.clock.now();
        known.extend(self.host.sessions.all().into_iter().map(|session| session.id));
        // Reads the whole journal, so the start does not wait for it.
        self.tasks.push(runtime::spawn("forgotten sessions", async move {
            let reader = cx.journal.clone();
            let read = tokio::task::spawn_blocking(move || reader.reader()?.sessions());
            let recorded = match read.await {
                Ok(Ok(recorded)) => recorded,
                Ok(Err(error)) => return tracing::warn!(%error, "open sessions are not closed"),
                Err(error) => return tracing::warn!(%error, "open sessions are not closed"),
            };
            let open = recorded.into_iter().filter(|found| {
                found.is_running() && found.started < began && !known.contains(&found.id)
            });
            for found in open {
                tracing::info!(session = %found.id, "session ended while no daemon ran");
                cx.journal.append_or_count(found.id, cx.clock.now(), EventBody::SessionClosed {});
            }
        }));
    }

    fn end_session(&self, session: &Session) {
        let cx = &self.host.enforcer;
        if let Err(error) = self.host.sessions.end(session) {
            tracing::warn!(session = %session.id, %error, "a session that ended is not removed");
            return;
        }
        cx.journal.append_or_count(session.id, cx.clock.now(), EventBody::SessionClosed {});
    }

    /// The processes whose namespaces want a door are sent to what is returned.
    fn serve_namespaces(&mut self, reception: Reception) -> anyhow::Result<mpsc::Sender<u32>> {
        let (wanted, asked) = mpsc::channel(limits::NAMESPACE_QUEUE_MAX);
        let count = Arc::clone(&self.host.namespaces);
        let namespaces = Namespaces::new(Arc::clone(&self.host.kernel), reception, count)?;
        self.tasks.push(runtime::spawn("network namespaces", namespaces.serve(asked)));
        Ok(wanted)
    }

    fn serve_host(
        &mut self,
        listener: tokio::net::UnixListener,
        watch: Watch,
        draining: &Draining,
        selection: select::Selection,
        told: kernel_events::Told,
    ) -> anyhow::Result<()> {
        let host = Arc::clone(&self.host);
        let cx = Arc::clone(&host.enforcer);
        let watched = identity::watch(Arc::clone(&host.sessions), move |session| {
            tracing::info!(session = %session.id, agent = %session.agent, "session ended");
            cx.journal.append_or_count(session.id, cx.clock.now(), EventBody::SessionClosed {});
        });
        self.tasks.push(runtime::spawn("session watch", watched));
        let begun = Arc::clone(&told.begun);
        let (kernel, cx) = (Arc::clone(&host.kernel), Arc::clone(&host.enforcer));
        let events = kernel_events::serve(kernel.events()?, kernel, cx, told);
        self.tasks.push(runtime::spawn("kernel events", events));
        self.tasks.push(runtime::spawn("selection", select::watch(selection, begun)));
        let cx = Arc::clone(&host.enforcer);
        self.tasks.push(runtime::spawn("upstream reap", async move {
            let mut interval = tokio::time::interval(REAP_INTERVAL);
            loop {
                interval.tick().await;
                cx.upstream.reap();
            }
        }));
        self.tasks.push(runtime::spawn("budgets", watch::keep_budgets(Arc::clone(&host.enforcer))));
        let repeats = watch::record_repeats(Arc::clone(&host.enforcer));
        self.tasks.push(runtime::spawn("repeated attempts", repeats));
        let api = admin::serve(listener, host, Arc::clone(&watch.spares), draining.clone());
        drop(runtime::spawn("admin API", api));
        self.tasks.push(runtime::spawn("watch", watch.run()));
        Ok(())
    }

    /// Ends in order: no new work, running work finishes, the journal is sealed. The programs and their
    /// pins stay: guarded processes are refused until the next start.
    async fn stop(self, drain: Drain, config: &Config, store: Store) -> anyhow::Result<()> {
        let is_drained = tokio::select! {
            is_drained = drain.finish(limits::DRAIN_TIMEOUT) => is_drained,
            // Who asks twice does not want to wait.
            _again = signals::end() => false,
        };
        if !is_drained {
            tracing::warn!("exchanges were still running at the end of the drain; they are cut");
            self.cut.send_replace(true);
            // Each writes down its end as it goes; only then may the journal be closed.
            drain.finish(limits::DRAIN_CUT_TIMEOUT).await;
        }
        for task in &self.tasks {
            task.abort();
        }
        enforce::record_all(&self.host.enforcer);
        for session in self.host.sessions.deserted() {
            self.end_session(&session);
        }
        if let Err(error) = self.host.enforcer.budgets.save() {
            tracing::error!(error = runtime::chain(&error), "the last charges of budgets are lost");
        }
        // The file is ours; another daemon would have refused to start while we answered on it.
        drop(std::fs::remove_file(&config.socket));
        store.close().await?;
        drop(self.claim);
        tracing::info!("stopped; guarded processes are refused until the next start");
        Ok(())
    }
}
