// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A place to attach the programs to: an own network namespace, cgroup and pin folder, a stand-in for the
//! proxy and for the resolver, one guarded session. All of it is gone afterwards, or the test fails.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use enforcer_common::{
    Event, Hook, NOTHING_REFUSED, PROTOCOL_TCP, PROTOCOL_UDP, RESOLVER_PORTS, Refusal,
};
use enforcer_core::model::{AgentName, SessionId};
use enforcer_tests::slowed;
use enforcer_user::kernel::{self, Config, Events, Kernel, Origins, Ports};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::child::{self, Script};
use crate::log;

pub(crate) const SESSION: u64 = 0x1234_5678;
pub(crate) const AGENT: &str = "support";

/// Longest a test waits for something that has to happen.
pub(crate) static PATIENCE: LazyLock<Duration> = LazyLock::new(|| slowed(Duration::from_secs(20)));

/// Runs a test in network and mount namespaces of its own; threads and children it starts are in them too.
pub(crate) fn isolated(test: impl FnOnce() + Send + 'static) {
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
pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// The folders a test uses, removed and checked on drop.
struct Place {
    config: Config,
    sessions: PathBuf,
    _dir: TempDir,
}

/// The programs in force for one guarded session.
pub(crate) struct Lab {
    kernel: Option<Kernel>,
    events: Option<Events>,
    runtime: Runtime,
    proxy: Proxy,
    resolver: Resolver,
    place: Place,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::pinned_at(None)
    }

    /// A lab whose pin folder is not in the folder that a test gets for itself.
    pub(crate) fn pinned_at(bpffs: Option<&Path>) -> Self {
        let mut place = Place::new();
        if let Some(bpffs) = bpffs {
            place.config.bpffs = bpffs.to_owned();
        }
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let proxy = Proxy::bind();
        let resolver = Resolver::bind();
        let mut lab = Self { kernel: None, events: None, runtime, proxy, resolver, place };
        fs::create_dir_all(lab.session()).unwrap();
        lab.attach();
        lab.guard(SESSION, AGENT);
        lab
    }

    /// Puts the programs in force, newly or by taking over, and starts the stand-ins if need be.
    pub(crate) fn attach(&mut self) {
        let kernel = Kernel::attach(&self.place.config, self.ports()).unwrap();
        self.proxy.serve(kernel.origins());
        self.resolver.serve(kernel.origins());
        self.events = Some(self.runtime.block_on(async { kernel.events() }).unwrap());
        self.kernel = Some(kernel);
    }

    /// What `kill -9` of the daemon leaves: pins, and nobody listening.
    pub(crate) fn crash(&mut self) {
        self.events = None;
        self.kernel = None;
        self.proxy.stop();
        self.resolver.stop();
    }

    /// A new daemon on the ports that the pinned settings name.
    pub(crate) fn restart(&mut self) {
        let ports = kernel::recorded_ports(&self.place.config).unwrap();
        assert_eq!(ports, self.ports());
        self.proxy.listen_again();
        self.resolver.listen_again();
        self.attach();
    }

    pub(crate) fn kernel(&self) -> &Kernel {
        self.kernel.as_ref().unwrap()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.place.config
    }

    pub(crate) fn ports(&self) -> Ports {
        Ports { proxy: self.proxy.port, resolver: self.resolver.port }
    }

    fn guard(&self, session: u64, agent: &str) {
        let id = self.session_cgroup_id();
        let agent = AgentName::new(agent);
        self.kernel().guard(id, SessionId::from_u64(session), &agent).unwrap();
    }

    /// Labels a process that runs already, wherever it is.
    pub(crate) fn guard_process(&self, pid: u32) {
        self.kernel().label(pid, SessionId::from_u64(SESSION)).unwrap();
    }

    pub(crate) fn session_cgroup_id(&self) -> u64 {
        fs::metadata(self.session()).unwrap().ino()
    }

    /// The cgroup of the session.
    pub(crate) fn session(&self) -> PathBuf {
        self.place.sessions.join("one")
    }

    /// Runs a script as a guarded process.
    pub(crate) fn guarded(&self, script: &str) -> Vec<String> {
        child::run(Some(&self.session()), script)
    }

    /// Starts a script as a guarded process.
    pub(crate) fn start_guarded(&self, script: &str) -> Script {
        child::start(Some(&self.session()), script)
    }

    /// Starts a script below the attached cgroup, but in no session.
    pub(crate) fn start_beside(&self, script: &str) -> Script {
        child::start(Some(&self.place.config.cgroup), script)
    }

    /// Runs a script below the attached cgroup, but in no session.
    pub(crate) fn beside(&self, script: &str) -> Vec<String> {
        child::run(Some(&self.place.config.cgroup), script)
    }

    /// The next refusal, with its codes checked.
    pub(crate) fn event(&mut self) -> (Hook, Refusal, Event) {
        let events = self.events.as_mut().unwrap();
        let next = async {
            loop {
                let event = tokio::time::timeout(*PATIENCE, events.next()).await;
                let event = event.expect("no event").unwrap();
                if event.refusal != NOTHING_REFUSED {
                    return event;
                }
            }
        };
        let event = self.runtime.block_on(next);
        assert_eq!(event.session, SESSION);
        let hook = Hook::try_from(event.hook).unwrap();
        (hook, Refusal::try_from(event.refusal).unwrap(), event)
    }

    /// Polls the kernel side until something has happened; events that come meanwhile are dropped.
    pub(crate) fn poll_until(&mut self, has_happened: impl Fn() -> bool) {
        let deadline = Instant::now() + *PATIENCE;
        while !has_happened() {
            assert!(Instant::now() < deadline, "it does not happen");
            self.has_event();
        }
    }

    /// Whether an event is there now.
    pub(crate) fn has_event(&mut self) -> bool {
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
        let detached = kernel::detach(&self.config);
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
    let deadline = Instant::now() + *PATIENCE;
    while let Err(error) = fs::remove_dir(path) {
        let is_busy = error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline;
        if !is_busy {
            return;
        }
        thread::yield_now();
    }
}

/// No pin, no mount, no folder and no cgroup is left; that no program is, `detach` has made sure of.
pub(crate) fn assert_no_residue(config: &Config) {
    assert!(!config.bpffs.exists(), "`{}` is left", config.bpffs.display());
    assert!(!config.cgroup.exists(), "`{}` is left", config.cgroup.display());
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    assert!(!mounts.contains(config.bpffs.to_str().unwrap()), "a mount is left");
    assert_eq!(kernel::detach(config).unwrap(), Vec::<String>::new());
}

/// Answers each connection with the destination that the kernel remembered, then closes it.
struct Proxy {
    port: u16,
    listeners: Vec<TcpListener>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    fn bind() -> Self {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let second = TcpListener::bind(("::1", port)).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        Self { port, listeners: vec![first, second], stop, threads: Vec::new() }
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
            let (origins, stop) = (origins.clone(), Arc::clone(&self.stop));
            self.threads
                .push(thread::spawn(move || answer_connections(&listener, &origins, &stop)));
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

fn answer_connections(listener: &TcpListener, origins: &Origins, stop: &AtomicBool) {
    while let Ok((mut stream, peer)) = listener.accept() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let answer = origin_text(origins, peer, PROTOCOL_TCP);
        let again = origins.take(peer, PROTOCOL_TCP).unwrap();
        assert_eq!(again, None, "an origin can be taken once");
        // The client may be gone by now.
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// What the kernel knows about a peer, as the stand-ins tell it to the client.
fn origin_text(origins: &Origins, peer: SocketAddr, protocol: u16) -> String {
    match origins.take(peer, protocol).unwrap() {
        Some(seen) => {
            assert_eq!(seen.session, SessionId::from_u64(SESSION));
            assert!(seen.comm.starts_with("python"), "{}", seen.comm);
            format!("{} pid {} uid {}", seen.destination, seen.pid, seen.uid)
        }
        None => "no origin".to_owned(),
    }
}

/// Answers each datagram with the server that the kernel remembered.
struct Resolver {
    port: u16,
    sockets: Vec<UdpSocket>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Resolver {
    fn bind() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sockets = |first: u16| {
            (first..first + RESOLVER_PORTS)
                .flat_map(|port| [("127.0.0.1", port), ("::1", port)])
                .map(UdpSocket::bind)
                .collect::<Result<Vec<_>, _>>()
        };
        // Ports in a row that nobody else has.
        let (port, sockets) =
            (20_000..30_000).find_map(|first| Some((first, sockets(first).ok()?))).unwrap();
        Self { port, sockets, stop, threads: Vec::new() }
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
            let (origins, stop) = (origins.clone(), Arc::clone(&self.stop));
            self.threads.push(thread::spawn(move || answer_datagrams(&socket, &origins, &stop)));
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

fn answer_datagrams(socket: &UdpSocket, origins: &Origins, stop: &AtomicBool) {
    let mut buffer = [0; 512];
    while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let answer = origin_text(origins, peer, PROTOCOL_UDP);
        let _ = socket.send_to(answer.as_bytes(), peer);
    }
}
