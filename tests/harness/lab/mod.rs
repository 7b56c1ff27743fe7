// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A place to attach the programs to: an own network namespace, cgroup and pin folder, a stand-in for the
//! proxy and for the resolver, one guarded session. All of it is gone afterwards, or the test fails.

pub mod child;
pub mod log;
pub mod wire;

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use enforcer_common::{
    Event, Hook, NOTHING_REFUSED, PROTOCOL_TCP, PROTOCOL_UDP, RESOLVER_PORTS, Refusal,
};
use enforcer_core::model::{AgentName, SessionId};
use enforcer_user::kernel::{self, Config, Events, Kernel, OriginSeen, Origins, Ports};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::residue;

use self::child::Script;

/// Id of the guarded session.
pub const SESSION: u64 = 0x1234_5678;
/// Name of its agent.
pub const AGENT: &str = "support";

/// Longest a test waits for something that has to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

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

/// The folders a test uses, removed and checked on drop.
struct Place {
    config: Config,
    sessions: PathBuf,
    _dir: TempDir,
}

/// What arrived at one of the stand-ins.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// [`PROTOCOL_TCP`] or [`PROTOCOL_UDP`].
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
        Self::pinned_at(None)
    }

    /// A lab whose pin folder is not in the folder that a test gets for itself.
    pub fn pinned_at(bpffs: Option<&Path>) -> Self {
        let mut place = Place::new();
        if let Some(bpffs) = bpffs {
            place.config.bpffs = bpffs.to_owned();
        }
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (tell, arrivals) = mpsc::channel();
        let proxy = Proxy::bind(tell.clone());
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
        let deadline = Instant::now() + PATIENCE;
        while residue::programs().iter().any(|(loaded, _)| *loaded == id) {
            assert!(Instant::now() < deadline, "`{program}` stays in force");
            thread::yield_now();
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
        self.event_within(PATIENCE).expect("no event")
    }

    /// The next refusal, or none after `limit`.
    pub fn event_within(&mut self, limit: Duration) -> Option<(Hook, Refusal, Event)> {
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
        let event = self.runtime.block_on(next).ok()?;
        assert_eq!(event.session, SESSION);
        let hook = Hook::try_from(event.hook).unwrap();
        Some((hook, Refusal::try_from(event.refusal).unwrap(), event))
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
        let deadline = Instant::now() + PATIENCE;
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
        let deadline = Instant::now() + PATIENCE;
        let detached = loop {
            match kernel::detach(&self.config) {
                Err(_) if Instant::now() < deadline => thread::yield_now(),
                end => break end,
            }
        };
        let sessions = fs::read_dir(&self.sessions).into_iter().flatten().flatten();
        let folders = sessions.map(|entry| entry.path()).filter(|path| path.is_dir());
        for folder in folders.collect::<Vec<_>>() {
            remove_cgroup(&folder);
        }
        remove_cgroup(&self.sessions);
        remove_cgroup(&self.config.cgroup);
        if !thread::panicking() {
            detached.unwrap();
            assert_no_residue(&self.config);
        }
    }
}

/// A cgroup becomes empty a moment after its last process has been waited for.
fn remove_cgroup(path: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = fs::remove_dir(path) {
        let is_busy = error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline;
        if !is_busy {
            return;
        }
        thread::yield_now();
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

/// Ports of the proxy and the resolver: below 1024 like those of the daemon, so that the kernel gives them
/// to nobody by itself.
pub const DOORS: (u16, u16) = (914, 915);

/// Answers each connection with the destination that the kernel remembered, then closes it.
struct Proxy {
    tell: Sender<Arrival>,
    port: u16,
    listeners: Vec<TcpListener>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    fn bind(tell: Sender<Arrival>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (listeners, threads) = (Vec::new(), Vec::new());
        let mut proxy = Self { tell, port: DOORS.0, listeners, stop, threads };
        proxy.listen_again();
        proxy
    }

    fn listen_again(&mut self) {
        let listen = |address| TcpListener::bind((address, self.port)).unwrap();
        self.listeners = ["127.0.0.1", "::1"].map(listen).into();
    }

    fn serve(&mut self, origins: Origins) {
        if !self.listeners.is_empty() {
            self.stop = Arc::new(AtomicBool::new(false));
        }
        for listener in self.listeners.drain(..) {
            let (tell, origins, stop) =
                (self.tell.clone(), origins.clone(), Arc::clone(&self.stop));
            let serve = move || answer_connections(&listener, &origins, &tell, &stop);
            self.threads.push(thread::spawn(serve));
        }
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if self.threads.is_empty() {
            return;
        }
        for address in ["127.0.0.1", "::1"] {
            let _ = TcpStream::connect((address, self.port));
        }
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn answer_connections(
    listener: &TcpListener,
    origins: &Origins,
    tell: &Sender<Arrival>,
    stop: &AtomicBool,
) {
    while let Ok((mut stream, peer)) = listener.accept() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let answer = origin_text(origins, peer, PROTOCOL_TCP, tell);
        let again = origins.take(peer, PROTOCOL_TCP).unwrap();
        assert_eq!(again, None, "an origin can be taken once");
        // The client may be gone by now.
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// What the kernel knows about a peer, as the stand-ins tell it to the client and to the test.
fn origin_text(
    origins: &Origins,
    peer: SocketAddr,
    protocol: u16,
    tell: &Sender<Arrival>,
) -> String {
    let origin = origins.take(peer, protocol).unwrap();
    // The test may be over.
    let _ = tell.send(Arrival { protocol, origin: origin.clone() });
    match origin {
        Some(seen) => {
            assert_eq!(seen.session, SessionId::from_u64(SESSION));
            assert!(!seen.comm.is_empty());
            format!("{} pid {} uid {}", seen.destination, seen.pid, seen.uid)
        }
        None => "no origin".to_owned(),
    }
}

/// Answers each datagram with the server that the kernel remembered.
struct Resolver {
    tell: Sender<Arrival>,
    port: u16,
    sockets: Vec<UdpSocket>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Resolver {
    fn bind(tell: Sender<Arrival>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (sockets, threads) = (Vec::new(), Vec::new());
        let mut resolver = Self { tell, port: DOORS.1, sockets, stop, threads };
        resolver.listen_again();
        resolver
    }

    fn listen_again(&mut self) {
        let ports = self.port..self.port + RESOLVER_PORTS;
        let addresses = ports.flat_map(|port| [("127.0.0.1", port), ("::1", port)]);
        self.sockets = addresses.map(|address| UdpSocket::bind(address).unwrap()).collect();
    }

    fn serve(&mut self, origins: Origins) {
        if !self.sockets.is_empty() {
            self.stop = Arc::new(AtomicBool::new(false));
        }
        for socket in self.sockets.drain(..) {
            let (tell, origins, stop) =
                (self.tell.clone(), origins.clone(), Arc::clone(&self.stop));
            let serve = move || answer_datagrams(&socket, &origins, &tell, &stop);
            self.threads.push(thread::spawn(serve));
        }
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if self.threads.is_empty() {
            return;
        }
        for port in self.port..self.port + RESOLVER_PORTS {
            for (from, to) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
                UdpSocket::bind(from).unwrap().send_to(b"stop", (to, port)).unwrap();
            }
        }
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn answer_datagrams(
    socket: &UdpSocket,
    origins: &Origins,
    tell: &Sender<Arrival>,
    stop: &AtomicBool,
) {
    let mut buffer = [0; 512];
    while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let answer = origin_text(origins, peer, PROTOCOL_UDP, tell);
        let _ = socket.send_to(answer.as_bytes(), peer);
    }
}
