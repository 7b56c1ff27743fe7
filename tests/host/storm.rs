// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Under load, daemons come and go and programs are replaced: nothing guarded gets out, nothing unguarded is
//! disturbed.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use enforcer_tests::lab::child::Script;
use enforcer_tests::lab::wire::{World, contains};
use enforcer_tests::lab::{Lab, isolated};
use enforcer_tests::lightened;

/// The program that connects as often as it is told.
pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_connect-storm");

/// Connects a second of each client.
static PER_SECOND: LazyLock<u32> = LazyLock::new(|| lightened(500));
/// Restarts or upgrades.
static ROUNDS: LazyLock<u32> = LazyLock::new(|| lightened(20).max(5));
/// Where guarded processes want to go: the far end of the wire, which sees every frame.
const OUTSIDE: &str = "10.99.0.2:80";
/// Asks for a while, so that each side of a restart is long enough to be met.
const ASK_AGAIN: &str =
    "show(*{outcome(ask, AF_INET, ('10.99.0.2', 80)).split()[0] for _ in range(200)})";

/// What a client counted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) right: u32,
    pub(crate) refused: u32,
    pub(crate) wrong: u32,
    pub(crate) left: u32,
}

impl Counts {
    pub(crate) fn read(report: &str) -> Self {
        let words: Vec<_> = report.split(' ').collect();
        let [right, refused, wrong, left] = [1, 3, 5, 7].map(|place| words[place].parse().unwrap());
        Self { right, refused, wrong, left }
    }

    fn total(&self) -> u32 {
        self.right + self.refused + self.wrong + self.left
    }
}

/// A listener that nobody guards; it tells its own address.
struct Neighbor {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Neighbor {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let serve = move || {
            while let Ok((mut stream, _)) = listener.accept() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                stream.write_all(address.to_string().as_bytes()).unwrap();
            }
        };
        Self { address, stop, thread: Some(thread::spawn(serve)) }
    }
}

impl Drop for Neighbor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A guarded and an unguarded process that connect all the time.
struct Load {
    guarded: Script,
    unguarded: Script,
    start: Instant,
    neighbor: Neighbor,
}

impl Load {
    fn new(lab: &Lab) -> Self {
        let neighbor = Neighbor::new();
        let pace = PER_SECOND.to_string();
        let inside = neighbor.address.to_string();
        let guarded = lab.start_guarded_program(CLIENT, &["pace", OUTSIDE, &pace]);
        let unguarded = lab.start_program_beside(CLIENT, &["pace", &inside, &pace]);
        Self { guarded, unguarded, start: Instant::now(), neighbor }
    }

    /// What the guarded one counted, when the unguarded one has noticed nothing.
    fn finish(self) -> Counts {
        let seconds = self.start.elapsed().as_secs();
        let [guarded, unguarded] =
            [self.guarded, self.unguarded].map(|client| client.finish().concat());
        drop(self.neighbor);
        let counts = Counts::read(&unguarded);
        assert_eq!((counts.refused, counts.wrong), (0, 0), "{unguarded}");
        let seen = Counts::read(&guarded);
        assert_eq!(seen.wrong, 0, "{guarded}");
        let enough = u64::from(*PER_SECOND) * seconds;
        assert!(u64::from(counts.total() + seen.total()) >= enough, "{guarded} {unguarded}");
        seen
    }
}

/// Nothing came out, and something would have been seen.
fn assert_nothing_came_out(lab: &Lab, world: &World) {
    let arrived = world.arrived();
    assert!(arrived.is_empty(), "{} frames got out", arrived.len());
    let control = "s = socket_(type=SOCK_DGRAM); s.sendto(b'control', ('10.99.0.2', 80))";
    lab.beside(control);
    assert!(world.arrived().iter().any(|frame| contains(frame, "control")));
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn under_load_20_restarts_let_nothing_out_and_disturb_nobody() {
    isolated(|| {
        let world = World::new();
        let mut lab = Lab::new();
        let load = Load::new(&lab);
        for _ in 0..*ROUNDS {
            lab.crash();
            assert_eq!(lab.guarded(ASK_AGAIN), ["ECONNREFUSED"], "nobody is there");
            lab.restart();
            assert_eq!(lab.guarded(ASK_AGAIN), [OUTSIDE], "a daemon is there");
        }
        let guarded = load.finish();
        assert!(guarded.right > 0 && guarded.refused > 0, "{guarded:?}");
        assert_nothing_came_out(&lab, &world);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn under_load_20_upgrades_lose_no_connect_and_disturb_nobody() {
    isolated(|| {
        let world = World::new();
        let mut lab = Lab::new();
        let load = Load::new(&lab);
        for _ in 0..*ROUNDS {
            lab.attach();
        }
        let guarded = load.finish();
        assert_eq!(guarded.refused, 0, "{guarded:?}");
        assert_nothing_came_out(&lab, &world);
    });
}
