// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A place to attach the programs to: an own network namespace, cgroup and pin folder, a stand-in for the
//! proxy and for the resolver, one guarded session. All of it is gone afterwards, or the test fails.

pub mod child;
pub mod log;
mod standin;
pub mod wire;

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::{Map, MapData};
use enforcer_common::{Event, Hook, NOTHING_REFUSED, Origin, OriginKey, Refusal, Selector, map};
use enforcer_core::model::{AgentName, SessionId};
use enforcer_user::kernel::{self, Config, Events, Kernel, OriginSeen, Ports};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{residue, slowed};

use self::child::Script;
pub use self::standin::{Answer, DOORS};
use self::standin::{Proxy, Resolver, answering};

/// Id of the guarded session.
pub const SESSION: u64 = 0x1234_5678;
/// Name of its agent.
pub const AGENT: &str = "support";

/// Longest a test waits for something that has to happen.
pub static PATIENCE: LazyLock<Duration> = LazyLock::new(|| slowed(Duration::from_secs(20)));

/// How often something is looked at that the kernel does a moment later and tells nobody. Looking without a pause
/// would take the processor from the kernel's own threads, which do it.
const POLL: Duration = Duration::from_millis(5);

/// Runs a test in network and mount namespaces of its own; threads and children it starts are in them too.
pub fn isolated(test: impl FnOnce() + Send + 'static) {
    assert!(geteuid().is_root(), "needs root: cargo xtask test");
    log::install();
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        ip("link set lo up");
        test();
    };
    if let Err(panic) = thread::spawn(inside).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `ip` with arguments that contain no spaces.
pub fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Runs several commands of `ip`, one a line, and stops at the first that fails.
pub fn ip_all(commands: &str) {
    let mut command = Command::new("ip");
    let mut child = command.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{commands}");
}

/// The folders a test uses, removed and checked on drop.
struct Place {
    config: Config,
    sessions: PathBuf,
    _dir: TempDir,
}

/// What arrived at one of the stand-ins.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// [`enforcer_common::PROTOCOL_TCP`] or [`enforcer_common::PROTOCOL_UDP`].
    pub protocol: u16,
    /// Who sent it and where to; none when the kernel remembers nothing.
    pub origin: Option<OriginSeen>,
}

/// The programs in force for one guarded session.
pub struct Lab {
    kernel: Option<Kernel>,
    events: Option<Events>,
    runtime: Runtime,
    arrivals: Receiver<Arrival>,
    proxy: Proxy,
    resolver: Resolver,
    place: Place,
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab").field("config", &self.place.config).finish_non_exhaustive()
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// A lab in this test's namespaces.
    #[must_use]
    pub fn new() -> Self {
        Self::made(None, None)
    }

    /// A lab whose pin folder is not in the folder that a test gets for itself.
    pub fn pinned_at(bpffs: Option<&Path>) -> Self {
        Self::made(bpffs, None)
    }

    /// A lab whose proxy does something else with a connection.
    pub fn answering(bpffs: Option<&Path>, answer: Arc<Answer>) -> Self {
        Self::made(bpffs, Some(answer))
    }

    fn made(bpffs: Option<&Path>, answer: Option<Arc<Answer>>) -> Self {
        let mut place = Place::new();
        if let Some(bpffs) = bpffs {
            place.config.bpffs = bpffs.to_owned();
        }
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (tell, arrivals) = mpsc::channel();
        let proxy = Proxy::bind(answer.unwrap_or_else(|| answering(tell.clone())));
        let resolver = Resolver::bind(tell);
        let mut lab =
            Self { kernel: None, events: None, runtime, arrivals, proxy, resolver, place };
        fs::create_dir_all(lab.session()).unwrap();
        lab.attach();
        lab.guard(SESSION, AGENT);
        lab
    }

    /// Puts the programs in force, newly or by taking over, and starts the stand-ins if need be.
    pub fn attach(&mut self) {
        let kernel = Kernel::attach(&self.place.config, self.ports()).unwrap();
        self.proxy.serve(kernel.origins());
        self.resolver.serve(kernel.origins());
        self.events = Some(self.runtime.block_on(async { kernel.events() }).unwrap());
        self.kernel = Some(kernel);
    }

    /// What `kill -9` of the daemon leaves: pins, and nobody listening.
    pub fn crash(&mut self) {
        self.events = None;
        self.kernel = None;
        self.proxy.stop();
        self.resolver.stop();
    }

    /// Nobody listens on the ports any more, as after [`Self::crash`]; events can still be read.
    pub fn close_doors(&mut self) {
        self.proxy.stop();
        self.resolver.stop();
    }

    /// A new daemon on the ports that the pinned settings name.
    pub fn restart(&mut self) {
        let ports = kernel::recorded_ports(&self.place.config).unwrap();
        assert_eq!(ports, self.ports());
        self.proxy.listen_again();
        self.resolver.listen_again();
        self.attach();
    }

    /// Takes one program out of force, as a mutation of the mechanism would, and waits until it is gone.
    ///
    /// # Panics
    /// When the kernel keeps it.
    pub fn switch_off(&self, program: &str) {
        let state = self.kernel().programs().into_iter().find(|state| state.name == program);
        let id = state.and_then(|state| state.program).expect("it is in force");
        fs::remove_file(self.link(program)).unwrap();
        // The kernel releases a link a moment after its last pin, and frees the program last.
        let deadline = Instant::now() + *PATIENCE;
        while residue::programs().iter().any(|(loaded, _)| *loaded == id) {
            assert!(Instant::now() < deadline, "`{program}` stays in force");
            thread::sleep(POLL);
        }
    }

    fn link(&self, program: &str) -> PathBuf {
        let version = format!("v{}", enforcer_common::ABI_VERSION);
        self.place.config.bpffs.join(version).join("links").join(program)
    }

    /// The handle of the programs.
    ///
    /// # Panics
    /// After [`Self::crash`].
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        self.kernel.as_ref().unwrap()
    }

    /// How many origins wait for the proxy.
    #[must_use]
    pub fn origins_kept(&self) -> usize {
        let pinned = MapData::from_pin(self.pin(map::ORIGINS)).unwrap();
        let origins = aya::maps::HashMap::<_, OriginKey, Origin>::try_from(Map::LruHashMap(pinned));
        origins.unwrap().keys().count()
    }

    /// The pin of a map.
    #[must_use]
    pub fn pin(&self, name: &str) -> PathBuf {
        let generation = format!("v{}", enforcer_common::ABI_VERSION);
        self.place.config.bpffs.join(generation).join("maps").join(name)
    }

    /// Where the programs attach and are pinned.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.place.config
    }

    /// Where the stand-ins listen.
    #[must_use]
    pub fn ports(&self) -> Ports {
        Ports { proxy: self.proxy.port, resolver: self.resolver.port }
    }

    fn guard(&self, session: u64, agent: &str) {
        let id = self.session_cgroup_id();
        let agent = AgentName::new(agent);
        self.kernel().guard(id, SessionId::from_u64(session), &agent).unwrap();
    }

    /// Labels a process that runs already, wherever it is.
    pub fn guard_process(&self, pid: u32) {
        self.kernel().label(pid, SessionId::from_u64(SESSION)).unwrap();
    }

    /// Id of the session's cgroup.
    #[must_use]
    pub fn session_cgroup_id(&self) -> u64 {
        fs::metadata(self.session()).unwrap().ino()
    }

    /// Folder of the session's cgroup.
    #[must_use]
    pub fn session(&self) -> PathBuf {
        self.place.sessions.join("one")
    }

    /// Runs a script as a guarded process.
    pub fn guarded(&self, script: &str) -> Vec<String> {
        child::run(Some(&self.session()), script)
    }

    /// Starts a script as a guarded process.
    #[must_use]
    pub fn start_guarded(&self, script: &str) -> Script {
        child::start(Some(&self.session()), script)
    }

    /// Says which processes become an agent; each selector with the places that it names.
    pub fn select(&self, entries: &[(Selector, &[&str])]) {
        let named = |places: &[&str]| places.iter().map(|place| (*place).to_owned()).collect();
        let entries: Vec<_> =
            entries.iter().map(|(selector, places)| (*selector, named(places))).collect();
        self.kernel().select(&entries).unwrap();
    }

    /// Starts a program as a guarded process.
    pub fn start_guarded_program(&self, path: &str, arguments: &[&str]) -> Script {
        child::program(Some(&self.session()), path, arguments)
    }

    /// Starts a program below the attached cgroup, but in no session.
    pub fn start_program_beside(&self, path: &str, arguments: &[&str]) -> Script {
        child::program(Some(&self.place.config.cgroup), path, arguments)
    }

    /// Starts a script below the attached cgroup, but in no session.
    #[must_use]
    pub fn start_beside(&self, script: &str) -> Script {
        child::start(Some(&self.place.config.cgroup), script)
    }

    /// Runs a script below the attached cgroup, but in no session.
    pub fn beside(&self, script: &str) -> Vec<String> {
        child::run(Some(&self.place.config.cgroup), script)
    }

    /// The next refusal, with its codes checked.
    ///
    /// # Panics
    /// When none comes.
    pub fn event(&mut self) -> (Hook, Refusal, Event) {
        self.event_within(*PATIENCE).expect("no event")
    }

    /// The next refusal, or none after `limit`.
    pub fn event_within(&mut self, limit: Duration) -> Option<(Hook, Refusal, Event)> {
        let event = self.refusal_within(limit)?;
        assert_eq!(event.session, SESSION);
        let hook = Hook::try_from(event.hook).unwrap();
        Some((hook, Refusal::try_from(event.refusal).unwrap(), event))
    }

    /// The next refusal, of whatever session.
    ///
    /// # Panics
    /// When none comes.
    pub fn any_event(&mut self) -> Event {
        self.refusal_within(*PATIENCE).expect("no event")
    }

    fn refusal_within(&mut self, limit: Duration) -> Option<Event> {
        let events = self.events.as_mut().unwrap();
        let next = async {
            loop {
                let event = events.next().await.unwrap();
                if event.refusal != NOTHING_REFUSED {
                    return event;
                }
            }
        };
        let next = async { tokio::time::timeout(limit, next).await };
        self.runtime.block_on(next).ok()
    }

    /// The next event, whatever it is.
    ///
    /// # Panics
    /// When none comes.
    pub fn raw_event(&mut self) -> Event {
        let events = self.events.as_mut().unwrap();
        let next = async { tokio::time::timeout(*PATIENCE, events.next()).await };
        self.runtime.block_on(next).expect("no event").unwrap()
    }

    /// Drops every event and arrival that is there.
    pub fn forget_what_came(&mut self) {
        while self.has_event() {}
        while self.arrivals.try_recv().is_ok() {}
    }

    /// The next arrival at the proxy or the resolver, or none after `limit`.
    pub fn arrival_within(&self, limit: Duration) -> Option<Arrival> {
        self.arrivals.recv_timeout(limit).ok()
    }

    /// Polls the kernel side until something has happened; events that come meanwhile are dropped.
    pub fn poll_until(&mut self, has_happened: impl Fn() -> bool) {
        let deadline = Instant::now() + *PATIENCE;
        while !has_happened() {
            assert!(Instant::now() < deadline, "it does not happen");
            self.has_event();
        }
    }

    /// Whether an event is there now.
    pub fn has_event(&mut self) -> bool {
        let events = self.events.as_mut().unwrap();
        let now = async { tokio::time::timeout(Duration::ZERO, events.next()).await };
        self.runtime.block_on(now).is_ok()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.crash();
    }
}

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("enforcer-test-{}-{number}", std::process::id());
        let cgroup = kernel::find_cgroup2().unwrap().join(name);
        let sessions = cgroup.join(enforcer_common::SESSIONS_CGROUP);
        fs::create_dir_all(&sessions).unwrap();
        let dir = TempDir::new().unwrap();
        let config = Config { cgroup, bpffs: dir.path().join("bpffs") };
        Self { config, sessions, _dir: dir }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A process that another test is starting has our descriptors until it has become its program.
        let deadline = Instant::now() + *PATIENCE;
        let detached = loop {
            match kernel::detach(&self.config) {
                Err(_) if Instant::now() < deadline => thread::sleep(POLL),
                end => break end,
            }
        };
        remove_cgroup(&self.config.cgroup);
        if !thread::panicking() {
            detached.unwrap();
            assert_no_residue(&self.config);
        }
    }
}

/// A cgroup becomes empty a moment after its last process has been waited for. Those below it go first.
fn remove_cgroup(path: &Path) {
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    for folder in below.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        remove_cgroup(&folder);
    }
    let deadline = Instant::now() + *PATIENCE;
    while let Err(error) = fs::remove_dir(path) {
        let is_busy = error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline;
        if !is_busy {
            return;
        }
        thread::sleep(POLL);
    }
}

/// No pin, no mount, no folder and no cgroup is left; that no program is, `detach` has made sure of.
pub fn assert_no_residue(config: &Config) {
    assert!(!config.bpffs.exists(), "`{}` is left", config.bpffs.display());
    assert!(!config.cgroup.exists(), "`{}` is left", config.cgroup.display());
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    assert!(!mounts.contains(config.bpffs.to_str().unwrap()), "a mount is left");
    assert_eq!(kernel::detach(config).unwrap(), Vec::<String>::new());
}
