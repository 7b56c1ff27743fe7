// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An origin is that of one connection and of no other, whatever becomes of ports and clients meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use enforcer_user::kernel::{OriginSeen, Origins};

use crate::storm;
use enforcer_tests::lab::{Answer, Lab, PATIENCE, isolated};
use enforcer_tests::lightened;

/// A connection, with what the kernel knows about it.
type Taken = (TcpStream, Option<OriginSeen>);

/// Compares what each client says about its destination with what the kernel says.
#[derive(Default)]
struct Judge {
    right: AtomicU32,
    /// The client said something and the kernel something else.
    wrong: AtomicU32,
    /// The client said something and the kernel nothing.
    missing: AtomicU32,
    /// The client was gone before it said anything.
    silent: AtomicU32,
    example: Mutex<String>,
}

impl Judge {
    fn judge(&self, (mut stream, seen): Taken) {
        stream.set_read_timeout(Some(*PATIENCE)).unwrap();
        let mut said = String::new();
        // A reset leaves what came before it readable.
        let _ = stream.read_to_string(&mut said);
        let knows = seen.map(|seen| seen.destination.to_string());
        let Some((wants, how)) = said.split_once(' ') else {
            self.silent.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let counter = match &knows {
            Some(knows) if knows == wants => &self.right,
            Some(_) => &self.wrong,
            None => &self.missing,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let answer = knows.unwrap_or_else(|| "no origin".to_owned());
        if answer != wants {
            *self.example.lock().unwrap() = format!("wanted {wants}, {how}, known {answer}");
        }
        let _ = stream.write_all(answer.as_bytes());
    }

    fn count(&self) -> [u32; 4] {
        [&self.right, &self.wrong, &self.missing, &self.silent]
            .map(|counter| counter.load(Ordering::SeqCst))
    }
}

/// Judges in threads of its own, so that accepting does not wait for clients.
struct Judges {
    judge: Arc<Judge>,
    sender: Sender<Taken>,
    threads: Vec<JoinHandle<()>>,
}

impl Judges {
    fn new() -> Self {
        const THREADS: u32 = 8;
        let (sender, receiver) = mpsc::channel::<Taken>();
        let receiver = Arc::new(Mutex::new(receiver));
        let judge = Arc::new(Judge::default());
        let work = |judge: Arc<Judge>, receiver: Arc<Mutex<Receiver<Taken>>>| {
            move || {
                loop {
                    let taken = receiver.lock().unwrap().recv();
                    let Ok(taken) = taken else { return };
                    judge.judge(taken);
                }
            }
        };
        let start = |_| thread::spawn(work(Arc::clone(&judge), Arc::clone(&receiver)));
        let threads = (0..THREADS).map(start).collect();
        Self { judge, sender, threads }
    }

    /// Takes the origin as soon as a connection is there.
    fn at_once(&self) -> Arc<Answer> {
        let sender = self.sender.clone();
        Arc::new(move |stream, peer, origins| sender.send(take(stream, peer, origins)).unwrap())
    }

    /// What was counted, when everything has been judged. Every other sender has to be gone.
    fn finish(self) -> Arc<Judge> {
        drop(self.sender);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.judge
    }
}

fn take(stream: TcpStream, peer: SocketAddr, origins: &Origins) -> Taken {
    let seen = origins.take(&stream, peer).unwrap();
    (stream, seen)
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn of_100_000_connects_with_shared_ports_and_aborts_each_has_its_own_origin() {
    // Eight ways to behave, each for four destinations in a row.
    let connects = lightened(100_000) / 32 * 32;
    isolated(move || {
        let judges = Judges::new();
        let lab = Lab::answering(None, judges.at_once());
        let client =
            lab.start_guarded_program(storm::CLIENT, &["origins", &connects.to_string(), "64"]);
        let report = client.finish();
        drop(lab);
        let judge = judges.finish();
        let [right, wrong, missing, _silent] = judge.count();
        let example = judge.example.lock().unwrap();
        let counts = storm::Counts::read(&report[0]);
        assert_eq!((wrong, missing), (0, 0), "{example}");
        // A quarter stays for the answer, a quarter leaves or resets after it has spoken, all of them are known.
        assert_eq!(
            (counts.right, counts.refused, counts.wrong),
            (connects / 4, 0, 0),
            "{report:?}"
        );
        assert_eq!(counts.left, connects * 3 / 4);
        assert!(right >= connects / 2, "{right}");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connection_that_is_reset_in_the_queue_does_not_take_the_origin_of_the_next_from_its_port() {
    isolated(|| {
        let judges = Judges::new();
        // The proxy is busy until both have come and the first has gone.
        let (go_on, gate) = mpsc::channel::<()>();
        let (gate, take_at_once) = (Mutex::new(gate), judges.at_once());
        let answer = move |stream, peer, origins: &Origins| {
            // Open for good once the test has dropped its end.
            let _ = gate.lock().unwrap().recv_timeout(*PATIENCE);
            take_at_once(stream, peer, origins);
        };
        let lab = Lab::answering(None, Arc::new(answer));
        let mut client = lab.start_guarded(
            r#"
def from_port(to, linger=None):
    s = socket_(); s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1); s.settimeout(PATIENCE)
    s.bind(("127.0.0.1", 4567)); s.connect(to); s.sendall(("%s:%s resets" % to).encode())
    if linger: s.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", *linger))
    return s
from_port(("10.99.0.2", 80), (1, 0)).close()
s = from_port(("10.99.0.3", 81)); s.shutdown(SHUT_WR)
show("ready")
show(s.recv(200).decode())
"#,
        );
        assert_eq!(client.line(), "ready");
        drop(go_on);
        assert_eq!(client.finish(), ["10.99.0.3:81"]);
        drop(lab);
        let judge = judges.finish();
        let example = judge.example.lock().unwrap();
        assert_eq!(judge.count(), [2, 0, 0, 0], "{example}");
    });
}
