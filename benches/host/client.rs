// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The process that is measured. It serves itself, in one thread, so that nothing of what is measured waits for
//! another process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc::linger;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};
use nix::unistd::Pid;

/// The median of times counts, and of starting a program, which the scheduler takes part in, a lower one.
const PART: usize = 2;
const SPAWN_PART: usize = 10;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `connect()` to a listener on loopback.
    Connect,
    /// One byte to and fro over a connection on loopback.
    Echo,
    /// `connect()` to a loopback port where nobody listens.
    Refused,
    /// `socket()`.
    Socket,
    /// Starting a program and waiting for it.
    Spawn,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Socket, Self::Connect, Self::Refused, Self::Echo, Self::Spawn];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Echo => "echo",
            Self::Refused => "refused",
            Self::Socket => "socket",
            Self::Spawn => "spawn",
        }
    }

    fn parse(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.with_context(|| format!("nothing is called `{name}`"))
    }
}

/// The measured process, from outside.
pub(crate) struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Client {
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("client").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, input, output })
    }

    /// Puts it into a cgroup.
    pub(crate) fn enter(&self, cgroup: &Path) -> Result<()> {
        let procs = cgroup.join("cgroup.procs");
        std::fs::write(&procs, self.child.id().to_string())
            .with_context(|| format!("failed to write `{}`", procs.display()))
    }

    /// Does something several times; nanoseconds, as `repeat` takes them together.
    pub(crate) fn measure(&mut self, kind: Kind, repeats: u32) -> Result<f64> {
        writeln!(self.input, "{} {repeats}", kind.name())?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        line.trim().parse().context("the client has died")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It ends by itself as well, with its input.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The measured process: `KIND REPEATS` in, nanoseconds out. It stays on one processor.
pub(crate) fn run() -> Result<()> {
    let mut here = CpuSet::new();
    here.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &here)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let (kind, repeats) = line.split_once(' ').context("KIND REPEATS")?;
        let (kind, repeats) = (Kind::parse(kind)?, repeats.parse()?);
        let time = match kind {
            Kind::Echo => echo(&listener, repeats)?,
            Kind::Spawn => repeat(repeats, SPAWN_PART, spawn)?,
            Kind::Connect | Kind::Socket => repeat(repeats, PART, || open(&listener, kind))?,
            Kind::Refused => repeat(repeats, PART, refused)?,
        };
        writeln!(std::io::stdout(), "{}", time.as_nanos())?;
    }
    Ok(())
}

/// The time that one in `part` falls below: what other processes interrupt does not count.
fn repeat(
    repeats: u32,
    part: usize,
    mut once: impl FnMut() -> Result<Duration>,
) -> Result<Duration> {
    let mut times = (0..repeats).map(|_| once()).collect::<Result<Vec<_>>>()?;
    times.sort();
    Ok(times.get(times.len() / part).copied().unwrap_or_default())
}

/// Makes a connection, takes it up and resets it; the time of one of these steps.
fn open(listener: &TcpListener, kind: Kind) -> Result<Duration> {
    let to = SockaddrStorage::from(listener.local_addr()?);
    let start = Instant::now();
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let made = start.elapsed();
    let start = Instant::now();
    connect(socket.as_raw_fd(), &to)?;
    let connected = start.elapsed();
    let taken = listener.accept()?;
    // No port is left waiting, so that every round finds the same kernel.
    setsockopt(&socket, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    drop(socket);
    drop(taken);
    Ok(if kind == Kind::Socket { made } else { connected })
}

fn refused() -> Result<Duration> {
    let to = SockaddrStorage::from(SocketAddr::from(([127, 0, 0, 1], 1)));
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let start = Instant::now();
    let outcome = connect(socket.as_raw_fd(), &to);
    let time = start.elapsed();
    ensure!(outcome == Err(Errno::ECONNREFUSED), "{outcome:?}");
    Ok(time)
}

fn echo(listener: &TcpListener, repeats: u32) -> Result<Duration> {
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let mut byte = [0];
    repeat(repeats, PART, || {
        let start = Instant::now();
        near.write_all(&byte)?;
        far.read_exact(&mut byte)?;
        far.write_all(&byte)?;
        near.read_exact(&mut byte)?;
        Ok(start.elapsed())
    })
}

fn spawn() -> Result<Duration> {
    let start = Instant::now();
    let status = Command::new("/bin/true").status()?;
    if !status.success() {
        bail!("/bin/true: {status}");
    }
    Ok(start.elapsed())
}
