// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Of a process that is not guarded only connections to endpoints are taken, and everything else is as without
//! Enforcer.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use aya::maps::{Array, Map, MapData};
use enforcer_common::{Hook, Refusal, Selector, Watch, capture, key, map};
use enforcer_core::model::{AgentName, SessionId};
use enforcer_user::kernel;
use tempfile::TempDir;

use enforcer_tests::lab::{Lab, child, ip, isolated};

use crate::redirect::{EVERYTHING, world_of_errors};

/// Says where endpoints are, and takes whoever goes there.
fn watch(lab: &Lab, addresses: &[&str]) {
    let addresses: BTreeSet<_> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(lab.kernel().set_endpoints(&addresses).unwrap(), 0);
    assert_eq!(lab.kernel().endpoints().unwrap(), addresses);
    lab.kernel().watch_any(Some(&AgentName::new("shadow"))).unwrap();
}

fn agents(lab: &Lab) -> Vec<String> {
    let begun = lab.kernel().begun().unwrap();
    begun.iter().map(|start| kernel::agent_name(&start.label).to_string()).collect()
}

fn forget_all(lab: &Lab) {
    for start in lab.kernel().begun().unwrap() {
        lab.kernel().forget(SessionId::from_u64(start.label.session)).unwrap();
    }
}

const ENDPOINTS: [&str; 3] = ["10.99.0.2:443", "[fd99::2]:443", "127.0.0.9:443"];

#[test]
#[ignore = "needs root: cargo xtask test"]
fn of_a_process_that_is_nobodys_only_connections_to_endpoints_are_taken() {
    isolated(|| {
        let lab = Lab::new();
        let script = r#"
show(os.getpid())
for family, address in (
    (AF_INET, ("10.99.0.2", 443)), (AF_INET6, ("fd99::2", 443)), (AF_INET6, ("::ffff:10.99.0.2", 443)),
    (AF_INET, ("10.99.0.2", 80)), (AF_INET, ("10.99.0.3", 443)), (AF_INET6, ("fd99::3", 443)),
    (AF_INET, ("127.0.0.1", 443)),
): show(outcome(ask, family, address))
"#;
        let free = ["ENETUNREACH"; 6];
        assert_eq!(lab.beside(script)[1..7], free, "nobody is watched yet");
        lab.kernel()
            .set_endpoints(&ENDPOINTS.iter().map(|it| it.parse().unwrap()).collect())
            .unwrap();
        assert_eq!(lab.beside(script)[1..7], free, "endpoints alone do not make agents");
        watch(&lab, &ENDPOINTS);
        let lines = lab.beside(script);
        let (pid, outcomes) = lines.split_first().unwrap();
        let v4 = format!("10.99.0.2:443 pid {pid} uid 0 ");
        assert_eq!(outcomes[0], format!("{v4}10.99.0.2:443"));
        assert_eq!(outcomes[1], format!("[fd99::2]:443 pid {pid} uid 0 fd99::2:443"));
        assert_eq!(outcomes[2], format!("{v4}::ffff:10.99.0.2:443"));
        assert_eq!(outcomes[3..], ["ENETUNREACH", "ENETUNREACH", "ENETUNREACH", "ECONNREFUSED"]);

        // It is one session, begun by what the kernel saw at the first of them.
        let begun = lab.kernel().begun().unwrap();
        let [start] = begun[..] else { panic!("{begun:?}") };
        assert_eq!((start.tgid.to_string(), start.capture), (pid.clone(), capture::ANY));
        assert!(start.comm.starts_with(b"python3\0") && start.started > 0 && start.parent > 0);
        assert_eq!(agents(&lab), ["shadow"]);
        let seen = lab.arrival_within(*enforcer_tests::lab::PATIENCE).unwrap().origin.unwrap();
        assert_eq!(seen.session.as_u64(), start.label.session);
        assert_eq!((seen.pid, seen.exe), (start.tgid, start.exe));
        assert_eq!(lab.kernel().labels().unwrap(), [], "the label goes with its process");
        forget_all(&lab);

        // Outside the cgroup of the programs nobody is.
        assert_eq!(child::run(None, script)[1..7], free);
        lab.kernel().watch_any(None).unwrap();
        assert_eq!(lab.beside(script)[1..7], free, "nobody is watched any more");
        assert_eq!(agents(&lab), [""; 0]);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn with_everybody_watched_an_unguarded_process_meets_the_same_peers_and_the_same_errors() {
    isolated(|| {
        let _world = world_of_errors();
        let mut lab = Lab::new();
        // None of the places that the script goes to; the other ports of one are no endpoint.
        watch(&lab, &["10.98.0.1:443", "[fd98::1]:443", "10.99.0.2:4433"]);
        let outside = child::run(None, EVERYTHING);
        assert_eq!(lab.beside(EVERYTHING), outside);
        // Nor is a process left alone less once it has been taken.
        let taken = format!("show(ask(AF_INET, ('10.98.0.1', 443))[:14])\n{EVERYTHING}");
        let lines = lab.beside(&taken);
        assert_eq!((lines[0].as_str(), &lines[1..]), ("10.98.0.1:443 ", &outside[..]));
        let event = lab.raw_event();
        assert_eq!(event.hook, Hook::Exec as u32, "its session began");
        assert!(!lab.has_event(), "something was refused");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn of_a_watched_process_quic_to_an_endpoint_is_refused_and_other_datagrams_are_not() {
    isolated(|| {
        let mut lab = Lab::new();
        ip("address add 10.99.0.2/32 dev lo");
        watch(&lab, &ENDPOINTS);
        let lines = lab.beside(
            r#"
server = socket_(AF_INET, SOCK_DGRAM); server.bind(("10.99.0.2", 0)); here = server.getsockname()
s = socket_(AF_INET, SOCK_DGRAM)
show(outcome(s.sendto, b"x", ("10.99.0.2", 443)), outcome(s.connect, ("10.99.0.2", 443)), outcome(s.send, b"x"))
show(outcome(s.sendto, b"quic", here), server.recvfrom(9)[0])
s.connect(here); show(s.send(b"quic"), server.recvfrom(9)[0], s.getpeername() == here)
show(outcome(socket_(AF_INET, SOCK_DGRAM).sendto, b"x", ("10.99.0.2", 53)))
raw = socket_(AF_INET, SOCK_RAW, IPPROTO_ICMP); show(outcome(raw.connect, ("10.99.0.2", 443)))
show(outcome(raw.setsockopt, IPPROTO_IP, 4, b""), outcome(s.setsockopt, IPPROTO_IP, 35, struct.pack("4s4si", inet_aton("224.0.0.99"), inet_aton("127.0.0.1"), 0)))
"#,
        );
        let expect = ["EPERM None EPERM", "4 b'quic'", "4 b'quic' True", "1", "None", "None None"];
        assert_eq!(lines, expect);
        for hook in [Hook::Sendmsg, Hook::Egress] {
            let event = lab.any_event();
            assert_eq!((event.hook, event.refusal), (hook as u32, Refusal::Datagram as u32));
            assert_eq!((event.port, event.session != 0), (443, true));
        }
        assert!(!lab.has_event());
        assert_eq!(agents(&lab), ["shadow"]);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn without_a_daemon_connections_to_endpoints_are_refused_and_others_are_not() {
    isolated(|| {
        let mut lab = Lab::new();
        watch(&lab, &ENDPOINTS);
        let script = r#"
l = socket_(); l.bind(("127.0.0.1", 0)); l.listen()
show(outcome(ask, AF_INET, ("10.99.0.2", 443)), outcome(ask, AF_INET6, ("fd99::2", 443)))
show(outcome(ask, AF_INET, ("10.99.0.2", 80)), at(create_connection(l.getsockname()).getpeername()) == at(l.getsockname()))
"#;
        lab.crash();
        let expect = ["ECONNREFUSED ECONNREFUSED", "ENETUNREACH True"];
        assert_eq!(lab.beside(script), expect);
        lab.restart();
        // The next daemon finds who is watched.
        let asked = lab.beside("show(ask(AF_INET, ('10.99.0.2', 443))[:14])");
        assert_eq!(asked, ["10.99.0.2:443 "]);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_socket_that_went_to_an_endpoint_goes_elsewhere_as_if_it_had_not() {
    isolated(|| {
        let mut lab = Lab::new();
        ip("address add 10.99.0.3/32 dev lo");
        watch(&lab, &ENDPOINTS);
        let lines = lab.beside(
            r#"
import ctypes
libc = ctypes.CDLL(None)
def part(s): assert libc.connect(s.fileno(), struct.pack("H14x", 0), 16) == 0
l = socket_(); l.bind(("10.99.0.3", 0)); l.listen(); there = l.getsockname()
s = socket_(); s.connect(("10.99.0.2", 443)); show(s.recv(200).decode()[:14], at(s.getpeername()))
part(s); s.connect(there); show(s.getpeername() == there, l.accept()[1] == s.getsockname())
part(s); s.connect(("10.99.0.2", 443)); show(s.recv(200).decode()[:14])
"#,
        );
        assert_eq!(lines, ["10.99.0.2:443  10.99.0.2:443", "True True", "10.99.0.2:443 "]);
        lab.raw_event();
        assert!(!lab.has_event());
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_bound_device_does_not_lead_past_the_proxy_to_an_endpoint() {
    isolated(|| {
        let _world = world_of_errors();
        let lab = Lab::new();
        watch(&lab, &ENDPOINTS);
        let bound = "show(ask(AF_INET, ('10.99.0.2', 443), None, [(SOL_SOCKET, SO_BINDTODEVICE, b'near')])[:14])";
        assert_eq!(lab.beside(bound), ["10.99.0.2:443 "]);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_else_makes_an_agent_comes_before_a_connection_to_an_endpoint() {
    isolated(|| {
        let lab = Lab::new();
        let folder = TempDir::new().unwrap();
        let program = folder.path().join("agent");
        fs::copy(fs::canonicalize("/usr/bin/python3").unwrap(), &program).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let named = |name: &str, capture: u32| {
            let label = kernel::label(SessionId::HOST, &AgentName::new(name)).unwrap();
            let exe = kernel::file_id(&program).unwrap();
            Selector { keys: key::EXE, exe, capture, agent: label.agent, ..Selector::END }
        };
        watch(&lab, &ENDPOINTS);
        let script = format!(
            r#"
import subprocess
ASK = """
import socket, errno
def ask(port):
    try:
        with socket.create_connection(("10.99.0.2", port), 20) as s: return "taken" if s.recv(200) else "refused"
    except OSError as error: return {{errno.ENETUNREACH: "free"}}.get(error.errno, "refused")
print(ask(443), ask(80))
"""
def run(*words): return subprocess.run(words, capture_output=True, text=True).stdout.strip()
# A process that was taken, and everybody it starts.
ask(AF_INET, ("10.99.0.2", 443))
show(run(sys.executable, "-c", ASK)); show(run({:?}, "-c", ASK))
"#,
            program.display().to_string()
        );
        assert_eq!(lab.beside(&script), ["taken free", "taken free"]);
        assert_eq!(agents(&lab), ["shadow"], "one session for all of it");
        forget_all(&lab);
        lab.select(&[(named("whole", capture::ALL), &[])]);
        assert_eq!(lab.beside(&script), ["taken free", "taken taken"]);
        assert_eq!(agents(&lab).into_iter().collect::<BTreeSet<_>>().len(), 2);
        forget_all(&lab);
        // An agent that captures endpoints is itself, whether anybody else is watched or not.
        lab.select(&[(named("part", capture::ENDPOINTS), &[])]);
        assert_eq!(lab.beside(&script), ["taken free", "taken free"]);
        let names: BTreeSet<String> = agents(&lab).into_iter().collect();
        assert_eq!(names, ["part", "shadow"].map(str::to_owned).into());
        lab.kernel().watch_any(None).unwrap();
        let alone = script.replace("ask(AF_INET, (\"10.99.0.2\", 443))\n", "\n");
        assert_eq!(lab.beside(&alone), ["free free", "taken free"]);

        // In the cgroup of a session a process is that session's, whatever it was before.
        watch(&lab, &ENDPOINTS);
        let moved = format!(
            "ask(AF_INET, ('10.99.0.2', 443))\nopen('{}/cgroup.procs', 'w').write(str(os.getpid()))\n\
             show(outcome(ask, AF_INET, ('10.99.0.2', 80))[:12])\n\
             os.execv(sys.executable, [sys.executable, '-c', 'import os, socket; s = socket.create_connection((\"10.99.0.2\", 80)); print(s.recv(12).decode())'])",
            lab.session().display()
        );
        assert_eq!(lab.beside(&moved), ["10.99.0.2:80", "10.99.0.2:80"]);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_daemon_itself_and_only_it_is_never_taken() {
    isolated(|| {
        let lab = Lab::new();
        ip("address add 10.99.0.2/32 dev lo");
        let there = std::net::TcpListener::bind("10.99.0.2:443").unwrap();
        watch(&lab, &ENDPOINTS);
        let mut watched = pinned_watch(&lab);
        let ours = watched.get(&0, 0).unwrap();
        let started = |pid: u32| enforcer_user::identity::started(pid).unwrap();
        let own = std::process::id();
        assert_eq!((ours.daemon, ours.daemon_started), (own, started(own)));
        let mut script = lab.start_beside(
            "for time in range(2): input(); s = create_connection(('10.99.0.2', 443)); show(at(s.getsockname()))",
        );
        // As if the script were the daemon; then as if it had a dead daemon's id.
        let daemon = script.pid();
        watched.set(0, Watch { daemon, daemon_started: started(daemon), ..ours }, 0).unwrap();
        script.go_on();
        let first = script.line();
        assert_eq!(first, there.accept().unwrap().1.to_string());
        assert_eq!(agents(&lab), [""; 0]);
        watched.set(0, Watch { daemon, daemon_started: started(daemon) - 1, ..ours }, 0).unwrap();
        script.go_on();
        assert!(script.line().starts_with("127.0.0.1:"));
        script.finish();
        assert_eq!(agents(&lab), ["shadow"]);
    });
}

fn pinned_watch(lab: &Lab) -> Array<MapData, Watch> {
    let pinned = MapData::from_pin(lab.pin(map::WATCH)).unwrap();
    Array::try_from(Map::Array(pinned)).unwrap()
}
