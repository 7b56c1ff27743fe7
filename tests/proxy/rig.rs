// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The data path as the daemon builds it, with what a test gives instead of the kernel.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use enforcer_core::model::{AgentName, Capture, SessionId, UnixMillis};
use enforcer_core::policy::{Policy, SourceFile, Sources, compile};
use enforcer_core::record::{
    AllowanceBounds, Event, EventBody, ExchangeClosed, ExchangeOpened, ExchangeOutcome, Process,
};
use enforcer_tests::{Authority, FakeUpstream};
use enforcer_user::approval::Approvals;
use enforcer_user::budget::Budgets;
use enforcer_user::dns::{self, Names, Resolver};
use enforcer_user::enforce::{Attempts, Buffers, Denials, Enforcer};
use enforcer_user::intake::{self, Origin, Origins};
use enforcer_user::proxy::Proxy;
use enforcer_user::runtime::{Alarms, Clock, Drain};
use enforcer_user::store::{Config, Store};
use enforcer_user::tls::{self, Ca, Root};
use enforcer_user::upstream::{Addresses, Upstream};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

/// Far above what anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The provider's name.
pub(crate) const HOST: &str = "api.openai.com";
/// Where the agent meant to go; nothing listens there.
pub(crate) const DESTINATION: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), 443);

const INVENTORY: &str = r#"
version = 1
mode = "enforce"
[agents.support]
[endpoints.openai]
hosts = ["api.openai.com"]
protocol = "openai"
[endpoints.anthropic]
hosts = ["api.anthropic.com"]
protocol = "anthropic"
[endpoints.files]
hosts = ["files.example.com"]
protocol = "http"
[endpoints.plain]
hosts = ["plain.example.com"]
ports = [80]
protocol = "http"
[endpoints.sealed]
hosts = ["sealed.example.com"]
tls = "passthrough"
[masks.pii]
detectors = ["email", "credit-card"]
style = "label"
"#;
/// Chats are masked and bound to models.
pub(crate) const CHATS: &str = r#"
@id("chats")
@mask("pii")
permit (principal == Agent::"support", action == Action::"chat", resource == Endpoint::"openai");
@id("approved-models")
@message("Use gpt-4.1.")
forbid (principal, action == Action::"chat", resource)
unless { ["gpt-4.1", "gpt-4.1-mini"].contains(context.model) };
"#;
/// What no door fits, and the list of models, goes through as it is.
pub(crate) const HTTP: &str = r#"
@id("http")
permit (principal, action in [Action::"http", Action::"list_models"], resource);
"#;
/// What cannot be understood goes through as it is.
pub(crate) const OPAQUE: &str = r#"
@id("opaque")
permit (principal, action == Action::"opaque", resource);
"#;

/// A compiled policy of these rules.
pub(crate) fn policy(rules: &str) -> Policy {
    policy_with("enforce", "", rules)
}

/// The same, in this mode and with more in its inventory.
pub(crate) fn policy_with(mode: &str, more: &str, rules: &str) -> Policy {
    let inventory = INVENTORY.replace("\"enforce\"", &format!("\"{mode}\"")) + more;
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let sources = Sources { files: vec![file("policy.toml", &inventory), file("a.cedar", rules)] };
    compile(&sources).unwrap().policy
}

/// Gives every connection the same origin.
pub(crate) struct Given(pub(crate) Mutex<Option<Origin>>);

impl Origins for Given {
    fn take(&self, _connection: &TcpStream, _peer: SocketAddr) -> Option<Origin> {
        self.0.lock().unwrap().clone()
    }
}

struct Fixed(Mutex<BTreeMap<String, SocketAddr>>);

impl Addresses for Fixed {
    fn known(&self, host: &str, _original: SocketAddr) -> Vec<SocketAddr> {
        self.0.lock().unwrap().get(host).copied().into_iter().collect()
    }

    fn resolved<'a>(
        &'a self,
        _host: &'a str,
        _port: u16,
    ) -> Pin<Box<dyn Future<Output = Vec<SocketAddr>> + Send + 'a>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

struct AnyName;

impl Names for AnyName {
    fn allows(&self, _agent: &AgentName, _name: &str) -> bool {
        true
    }
}

/// The running data path.
pub(crate) struct Rig {
    pub(crate) enforcer: Arc<Enforcer>,
    pub(crate) address: SocketAddr,
    pub(crate) session: SessionId,
    pub(crate) authority: Authority,
    pub(crate) origins: Arc<Given>,
    pub(crate) resolver: Resolver,
    /// PEM of the CA that clients have to trust.
    pub(crate) ca: String,
    store: Option<Store>,
    addresses: Arc<Fixed>,
    folder: TempDir,
    _drain: Drain,
}

impl Rig {
    /// A rig under these rules; where names lead is said later.
    pub(crate) async fn start(rules: &str) -> Self {
        Self::trusting(rules, "").await
    }

    /// As [`Self::start`], with one more root for upstream certificates.
    pub(crate) async fn trusting(rules: &str, root: &str) -> Self {
        Self::bound(rules, root, AllowanceBounds::default()).await
    }

    /// As [`Self::start`], where agents may have nothing stored.
    pub(crate) async fn storing_nothing(rules: &str) -> Self {
        Self::bound(rules, "", AllowanceBounds { bytes: 0, ..Default::default() }).await
    }

    async fn bound(rules: &str, root: &str, stored: AllowanceBounds) -> Self {
        let folder = TempDir::new().unwrap();
        let authority = Authority::new("provider's CA").unwrap();
        let roots = folder.path().join("roots.pem");
        std::fs::write(&roots, format!("{}{root}", authority.pem())).unwrap();
        let clock = Clock::system();
        let session = SessionId::new(UnixMillis(1_763_800_000_000), 7);
        let config = Config { dir: folder.path().join("journal"), stored };
        let store = Store::open(&config, clock.now()).unwrap();
        let ca = Ca::open_or_create(folder.path()).unwrap();
        let pem = ca.certificate_pem().to_owned();
        let addresses = Arc::new(Fixed(Mutex::new(BTreeMap::new())));
        let client = tls::client_config(&[Root::File(roots)]).unwrap();
        let enforcer = Arc::new(Enforcer {
            policy: Arc::new(ArcSwap::from_pointee(policy(rules))),
            journal: store.journal(),
            upstream: Upstream::new(client, Arc::<Fixed>::clone(&addresses)),
            alarms: Alarms::new(clock.clone()),
            attempts: Attempts::default(),
            denials: Denials::default(),
            budgets: Budgets::default(),
            approvals: Approvals::new([7; 32]),
            clock,
            buffers: Buffers::default(),
        });
        let plain = BTreeMap::from([(
            "plain.example.com".to_owned(),
            vec![SocketAddr::new(DESTINATION.ip(), 80)],
        )]);
        let config = dns::Config { upstream: Vec::new(), fixed: plain };
        let resolver = Resolver::new(config, Arc::new(AnyName));
        let (drain, draining) = Drain::new();
        let proxy = Proxy {
            enforcer: Arc::clone(&enforcer),
            resolver: resolver.clone(),
            tls: tls::server_config(ca).unwrap(),
            draining: draining.clone(),
        };
        let process = Process::new(4711, 1000, "agent");
        let agent = AgentName::new("support");
        let capture = Capture::All;
        let origin = Origin { destination: DESTINATION, session, agent, capture, process };
        let origins = Arc::new(Given(Mutex::new(Some(origin))));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = move |accepted| proxy.clone().serve(accepted);
        let given: Arc<dyn Origins> = Arc::<Given>::clone(&origins);
        let door =
            intake::Door { listener, places: intake::places(), alarms: enforcer.alarms.clone() };
        tokio::spawn(intake::accept(door, given, draining, serve));
        Self {
            enforcer,
            address,
            session,
            authority,
            origins,
            resolver,
            ca: pem,
            store: Some(store),
            addresses,
            folder,
            _drain: drain,
        }
    }

    /// A rig whose provider is the stand-in.
    pub(crate) async fn with_stand_in(rules: &str) -> (Self, FakeUpstream) {
        let rig = Self::start(rules).await;
        let upstream = rig.stand_in();
        (rig, upstream)
    }

    /// A stand-in that the provider's name leads to.
    pub(crate) fn stand_in(&self) -> FakeUpstream {
        let upstream = FakeUpstream::start(&self.authority, &Default::default()).unwrap();
        self.resolve(HOST, upstream.address());
        upstream
    }

    /// Puts another policy in force.
    pub(crate) fn enforce(&self, policy: Policy) {
        self.enforcer.policy.store(Arc::new(policy));
    }

    /// Says where a name leads.
    pub(crate) fn resolve(&self, host: &str, address: SocketAddr) {
        self.addresses.0.lock().unwrap().insert(host.to_owned(), address);
    }

    /// Says where the agent meant to go.
    pub(crate) fn destined(&self, destination: SocketAddr) {
        self.origins.0.lock().unwrap().as_mut().unwrap().destination = destination;
    }

    /// The state folder.
    pub(crate) fn state(&self) -> &Path {
        self.folder.path()
    }

    /// The journal's folder.
    pub(crate) fn journal(&self) -> std::path::PathBuf {
        self.folder.path().join("journal")
    }

    /// Seals the journal, so that nothing can be recorded any more.
    pub(crate) async fn close_journal(&mut self) {
        self.store.take().unwrap().close().await.unwrap();
    }

    /// Everything recorded for the session so far.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let journal = self.enforcer.journal.clone();
        journal.sync().await.unwrap();
        let session = self.session;
        let read = move || {
            let reader = journal.reader().unwrap();
            reader.events(session, 0).collect::<Result<Vec<_>, _>>().unwrap()
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    /// Waits until the record shows something.
    pub(crate) async fn until(
        &self,
        what: &str,
        is_there: impl Fn(&[Event]) -> bool,
    ) -> Vec<Event> {
        let start = Instant::now();
        loop {
            let events = self.events().await;
            if is_there(&events) {
                return events;
            }
            assert!(start.elapsed() < LIMIT, "{what} is not in the record: {events:#?}");
            tokio::task::yield_now().await;
        }
    }

    /// Waits for this many ended exchanges.
    pub(crate) async fn closed(&self, count: usize) -> Vec<ExchangeClosed> {
        let events = self.until("the end", |events| closed(events).len() >= count).await;
        closed(&events)
    }

    /// Waits for this many judged exchanges.
    pub(crate) async fn opened(&self, count: usize) -> Vec<ExchangeOpened> {
        let events = self.until("a judgement", |events| opened(events).len() >= count).await;
        opened(&events)
    }

    /// Waits for a refused connection: server name, reason code, detail.
    pub(crate) async fn refused(&self) -> (Option<String>, &'static str, String) {
        let events = self.until("a refusal", |events| !refused(events).is_empty()).await;
        let mut all = refused(&events);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Whether any stored file holds these bytes, compressed bodies opened.
    pub(crate) async fn stores(&self, needle: &str) -> bool {
        let events = self.events().await;
        let texts = serde_json::to_string(&events).unwrap();
        let reader = self.enforcer.journal.reader().unwrap();
        let bodies = opened(&events).into_iter().filter_map(|opened| opened.request);
        let closed = closed(&events).into_iter();
        let bodies = bodies.chain(closed.flat_map(|it| [it.request, it.response]).flatten());
        let has = |bytes: &[u8]| bytes.windows(needle.len()).any(|part| part == needle.as_bytes());
        let mut is_stored = has(texts.as_bytes()) || any_file(&self.journal(), &has);
        for body in bodies {
            is_stored |= has(&reader.body(&body).unwrap());
        }
        is_stored
    }

    /// Asserts that the record is as it was written.
    pub(crate) async fn verify(&self) {
        let journal = self.enforcer.journal.clone();
        journal.sync().await.unwrap();
        let verify = move || journal.reader().unwrap().verify(None, &mut |_progress| ()).unwrap();
        let report = tokio::task::spawn_blocking(verify).await.unwrap();
        assert!(report.is_clean(), "{report:#?}");
    }
}

fn any_file(folder: &Path, has: &dyn Fn(&[u8]) -> bool) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { any_file(&path, has) } else { has(&std::fs::read(&path).unwrap()) }
    })
}

pub(crate) fn opened(events: &[Event]) -> Vec<ExchangeOpened> {
    let found = events.iter().filter_map(|event| match &event.body {
        EventBody::ExchangeOpened(opened) => Some((**opened).clone()),
        _ => None,
    });
    found.collect()
}

pub(crate) fn closed(events: &[Event]) -> Vec<ExchangeClosed> {
    let found = events.iter().filter_map(|event| match &event.body {
        EventBody::ExchangeClosed(closed) => Some(closed.clone()),
        _ => None,
    });
    found.collect()
}

pub(crate) fn refused(events: &[Event]) -> Vec<(Option<String>, &'static str, String)> {
    let found = events.iter().filter_map(|event| match &event.body {
        EventBody::ConnectionRefused { server_name, denied, detail, process, .. } => {
            assert_eq!((process.pid, process.comm.as_str()), (4711, "agent"));
            let server_name = server_name.as_deref().map(str::to_owned);
            let detail = detail.as_deref().unwrap_or_default().to_owned();
            Some((server_name, denied.reason.code(), detail))
        }
        _ => None,
    });
    found.collect()
}

/// The outcome in one word.
pub(crate) fn outcome(closed: &ExchangeClosed) -> &'static str {
    match &closed.outcome {
        ExchangeOutcome::Aborted => "aborted",
        ExchangeOutcome::Completed => "completed",
        ExchangeOutcome::Denied(denied) => denied.reason.code(),
    }
}
