// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connects as often as a test asks for, and counts what became of it. Each answer has to begin with the
//! destination that was asked for.
//!
//! `connect-storm once ADDRESS` ends well when that one answer is right; `threads ADDRESS COUNT` does so
//! from as many threads, most of them alive at once; `pace ADDRESS PER_SECOND` connects until its input ends;
//! `origins COUNT THREADS` gives every connect a destination of its own, reuses source ports and breaks off
//! as programs do.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_tests::slowed;
use nix::errno::Errno;
use nix::libc::linger;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

/// Longest that an answer may take.
static PATIENCE: LazyLock<Duration> = LazyLock::new(|| slowed(Duration::from_secs(20)));
/// Silence after which the kernel asks whether the other end still knows the connection.
const KEEPALIVE_SECONDS: u32 = 1;
/// Threads that keep the pace together, so that a slow answer does not slow the others down.
const PACE_THREADS: u32 = 64;
/// Source ports that connects share, below those that the kernel gives out.
const FIRST_SHARED_PORT: u16 = 10_000;
const SHARED_PORTS: u32 = 256;
/// Shared ports that are tried before a connect goes without one.
const TRIES: u32 = 32;

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let tally = Tally::default();
    match *arguments.as_slice() {
        ["once", address] => tally.count(&ask(address.parse()?)),
        ["threads", address, count] => threads(&tally, address.parse()?, count.parse()?),
        ["pace", address, per_second] => pace(&tally, address.parse()?, per_second.parse()?)?,
        ["origins", count, threads] => origins(&tally, count.parse()?, threads.parse()?)?,
        _ => bail!("what to do is said in the source of this program"),
    }
    let report = tally.report();
    let mut output = std::io::stdout();
    writeln!(output, "{report}")?;
    let is_one = matches!(arguments.first(), Some(&"once" | &"threads"));
    ensure!(!is_one || tally.is_all_right(), "{report}");
    Ok(())
}

/// What became of one connect.
enum Outcome {
    /// It arrived where it was meant to.
    Right,
    /// It was refused or cut off without a word.
    Refused(String),
    /// It arrived elsewhere, or nobody knew where it was meant to.
    Wrong(String),
    /// The client did not wait for an answer.
    Left,
}

#[derive(Default)]
struct Tally {
    right: AtomicU32,
    refused: AtomicU32,
    wrong: AtomicU32,
    left: AtomicU32,
    /// The first that was not right, in words.
    example: Mutex<String>,
}

impl Tally {
    fn count(&self, outcome: &Outcome) {
        let (counter, text) = match outcome {
            Outcome::Right => (&self.right, None),
            Outcome::Refused(text) => (&self.refused, Some(text)),
            Outcome::Wrong(text) => (&self.wrong, Some(text)),
            Outcome::Left => (&self.left, None),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(text) = text {
            let mut example = self.example.lock().unwrap_or_else(PoisonError::into_inner);
            if example.is_empty() || matches!(outcome, Outcome::Wrong(_)) {
                example.clone_from(text);
            }
        }
    }

    fn is_all_right(&self) -> bool {
        let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        count(&self.refused) + count(&self.wrong) == 0
    }

    /// `right N refused N wrong N left N example TEXT`.
    fn report(&self) -> String {
        let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        let example = self.example.lock().unwrap_or_else(PoisonError::into_inner);
        format!(
            "right {} refused {} wrong {} left {} example {example}",
            count(&self.right),
            count(&self.refused),
            count(&self.wrong),
            count(&self.left)
        )
    }
}

fn ask(address: SocketAddr) -> Outcome {
    match TcpStream::connect_timeout(&address, *PATIENCE) {
        Ok(stream) => answer(stream, address),
        Err(error) => Outcome::Refused(format!("{address}: {error}")),
    }
}

/// Reads to the end, because a connection that is cut off may have nothing to say.
fn answer(mut stream: TcpStream, address: SocketAddr) -> Outcome {
    let mut text = String::new();
    let read = notice_loss(&stream)
        .and_then(|()| stream.set_read_timeout(Some(*PATIENCE)))
        .and_then(|()| stream.read_to_string(&mut text));
    match (text.split(' ').next(), read) {
        (Some(first), _) if first == address.to_string() => Outcome::Right,
        (_, Err(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Outcome::Wrong(format!("{address}: no answer"))
        }
        (Some(""), outcome) => Outcome::Refused(format!("{address}: cut off ({outcome:?})")),
        _ => Outcome::Wrong(format!("{address}: {text}")),
    }
}

/// A listener that goes away forgets without a word whom it had not seen connect completely
/// (`inet_csk_listen_stop`), so a client that only reads would wait in vain: the kernel asks for it.
fn notice_loss(stream: &TcpStream) -> std::io::Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    Ok(setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE_SECONDS)?)
}

fn threads(tally: &Tally, address: SocketAddr, count: u32) {
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| tally.count(&ask(address)));
        }
    });
}

fn pace(tally: &Tally, address: SocketAddr, per_second: u32) -> Result<()> {
    let interval = Duration::from_secs(1) * PACE_THREADS / per_second;
    let start = Instant::now();
    thread::scope(|scope| {
        // Each thread stops when the sender of its channel is gone.
        let mut senders = Vec::new();
        for place in 0..PACE_THREADS {
            let (sender, receiver) = mpsc::channel();
            senders.push(sender);
            let first = start + interval * place / PACE_THREADS;
            scope.spawn(move || keep_pace(tally, address, first, interval, &receiver));
        }
        let mut input = Vec::new();
        std::io::stdin().read_to_end(&mut input).context("the input cannot be read")?;
        drop(senders);
        Ok(())
    })
}

fn keep_pace(
    tally: &Tally,
    address: SocketAddr,
    first: Instant,
    interval: Duration,
    stop: &Receiver<()>,
) {
    let mut next = first;
    while stop.recv_timeout(next.saturating_duration_since(Instant::now()))
        == Err(RecvTimeoutError::Timeout)
    {
        tally.count(&ask(address));
        next += interval;
    }
}

/// How a client behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Says where it wants to go and waits for the answer.
    Stay,
    /// The same, from a shared port.
    StayShared,
    /// Says it and leaves; what it said is still delivered.
    Leave,
    /// The same, from a shared port.
    LeaveShared,
    /// Says it and resets the connection, from a shared port.
    Reset,
    /// Resets without a word, from a shared port.
    ResetSilent,
    /// Closes while it connects.
    Abandon,
    /// Closes while it connects, from a shared port.
    AbandonShared,
}

impl Way {
    const ALL: [Self; 8] = [
        Self::Stay,
        Self::StayShared,
        Self::Reset,
        Self::Leave,
        Self::AbandonShared,
        Self::LeaveShared,
        Self::ResetSilent,
        Self::Abandon,
    ];

    fn is_shared(self) -> bool {
        !matches!(self, Self::Stay | Self::Leave | Self::Abandon)
    }
}

fn origins(tally: &Tally, count: u32, threads: u32) -> Result<()> {
    let next = AtomicU32::new(0);
    let one = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let way =
                Way::ALL.into_iter().cycle().nth(number as usize / 4 % 8).unwrap_or(Way::Stay);
            tally.count(&go(number, way)?);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        for thread in threads {
            thread.join().map_err(|_panic| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(())
    })
}

/// Every number has a destination of its own; every fourth is IPv6.
fn destination(number: u32) -> SocketAddr {
    let [_, high, middle, low] = number.to_be_bytes();
    let ip = match number % 4 {
        3 => IpAddr::V6(Ipv6Addr::from_bits((0xfd99 << 112) | u128::from(number))),
        _ => IpAddr::V4(Ipv4Addr::new(10, 100 + high, middle, low)),
    };
    let port = 1024 + u16::try_from(number % 60_000).unwrap_or_default();
    SocketAddr::new(ip, port)
}

fn go(number: u32, way: Way) -> Result<Outcome> {
    let to = destination(number);
    let socket = match connected(number, to, way)? {
        Ok(socket) => socket,
        Err(errno) => return Ok(Outcome::Refused(format!("{to}: {errno}"))),
    };
    if matches!(way, Way::Abandon | Way::AbandonShared) {
        return Ok(Outcome::Left);
    }
    let reset = linger { l_onoff: 1, l_linger: 0 };
    if way == Way::ResetSilent {
        setsockopt(&socket, sockopt::Linger, &reset)?;
        return Ok(Outcome::Left);
    }
    let mut stream = TcpStream::from(socket);
    let stays = matches!(way, Way::Stay | Way::StayShared);
    let word = match way {
        Way::Reset => "resets",
        _ if stays => "stays",
        _ => "leaves",
    };
    let said = stream.write_all(format!("{to} {word}").as_bytes());
    match way {
        // The proxy may have refused already: that is for the answer to tell.
        Way::Stay | Way::StayShared => {
            let _ = stream.shutdown(Shutdown::Write);
            Ok(answer(stream, to))
        }
        Way::Reset => {
            setsockopt(&stream, sockopt::Linger, &reset)?;
            Ok(Outcome::Left)
        }
        _ => Ok(said.map_or_else(|error| Outcome::Refused(error.to_string()), |()| Outcome::Left)),
    }
}

/// A socket that is connected, or about to be.
fn connected(number: u32, to: SocketAddr, way: Way) -> Result<Result<OwnedFd, Errno>> {
    let is_waiting = !matches!(way, Way::Abandon | Way::AbandonShared);
    let flags = if is_waiting { SockFlag::empty() } else { SockFlag::SOCK_NONBLOCK };
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    for attempt in 0..=TRIES {
        let socket = socket(family, SockType::Stream, flags | SockFlag::SOCK_CLOEXEC, None)?;
        if way.is_shared() && attempt < TRIES {
            setsockopt(&socket, sockopt::ReuseAddr, &true)?;
            let offset = number.wrapping_mul(31).wrapping_add(attempt * 7) % SHARED_PORTS;
            let port = FIRST_SHARED_PORT + u16::try_from(offset)?;
            let any: IpAddr = if to.is_ipv4() {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            match bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(any, port))) {
                Err(Errno::EADDRINUSE) => continue,
                bound => bound?,
            }
        }
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => return Ok(Ok(socket)),
            // Somebody uses this port for the same connection: another one, then.
            Err(Errno::EADDRNOTAVAIL | Errno::EADDRINUSE) => {}
            Err(errno) => return Ok(Err(errno)),
        }
    }
    Ok(Err(Errno::EADDRNOTAVAIL))
}
