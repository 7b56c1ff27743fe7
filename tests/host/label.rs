// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A label belongs to a process and its descendants, wherever they go; loopback is no exit for them.

use enforcer_common::{Hook, Refusal};

use enforcer_tests::lab::{Lab, isolated};

/// Leaves the session's cgroup, as root may.
const LEAVE: &str = r#"
def leave(folder):
    with open(folder + "/cgroup.procs", "w") as procs: procs.write(str(os.getpid()))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_label_survives_a_move_to_another_cgroup_and_is_inherited() {
    isolated(|| {
        let lab = Lab::new();
        let outside = lab.config().cgroup.display().to_string();
        let script = format!(
            r#"{LEAVE}
leave("{outside}")
show(ask(AF_INET, ("10.99.0.2", 80))[:12])
if os.fork() == 0:
    os.setsid()
    show(ask(AF_INET, ("10.99.0.3", 80))[:12])
    os.execv(sys.executable, [sys.executable, "-c", "import socket\ns = socket.create_connection(('10.99.0.4', 80), 160)\nprint(s.recv(200).decode()[:12], flush=True)"])
os.wait()
"#
        );
        assert_eq!(lab.guarded(&script), ["10.99.0.2:80", "10.99.0.3:80", "10.99.0.4:80"]);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_process_that_is_labeled_while_it_runs_is_guarded_with_its_later_children() {
    isolated(|| {
        let lab = Lab::new();
        let mut script = lab.start_beside(
            r#"
show(outcome(ask, AF_INET, ("10.99.0.2", 80)))
input()
show(ask(AF_INET, ("10.99.0.2", 80))[:12])
if os.fork() == 0:
    show(ask(AF_INET, ("10.99.0.3", 80))[:12]); os._exit(0)
os.wait()
"#,
        );
        assert_eq!(script.line(), "ENETUNREACH");
        lab.guard_process(script.pid());
        script.go_on();
        assert_eq!(script.finish(), ["10.99.0.2:80", "10.99.0.3:80"]);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_label_goes_with_the_last_thread_and_not_with_the_first() {
    isolated(|| {
        let lab = Lab::new();
        // The first thread ends by itself; the other one goes on in the same process.
        let mut script = lab.start_beside(
            r#"
import threading, ctypes
def later():
    while open("/proc/self/stat").read().rsplit(")")[1].split()[0] != "Z": time.sleep(0.01)
    show(ask(AF_INET, ("10.99.0.2", 80))[:12])
    os._exit(0)
input()
threading.Thread(target=later).start()
ctypes.CDLL(None).syscall(60, 0)
"#,
        );
        lab.guard_process(script.pid());
        let pid = script.pid();
        script.go_on();
        assert_eq!(script.finish(), ["10.99.0.2:80"]);
        assert_eq!(lab.kernel().labeled(pid).unwrap(), None, "the label outlives its process");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn on_loopback_a_session_reaches_its_own_listeners_and_no_others() {
    isolated(|| {
        let lab = Lab::new();
        let listen = r#"
listeners = [socket_(family) for family in (AF_INET, AF_INET6)]
listeners[0].bind(("127.0.0.1", 0)); listeners[1].bind(("::1", 0))
for l in listeners: l.listen()
show(listeners[0].getsockname()[1], listeners[1].getsockname()[1])
"#;
        let mut other = lab.start_beside(&format!("{listen}input()"));
        let ports = other.line();
        let (v4, v6) = ports.split_once(' ').unwrap();
        let script = format!(
            r#"{listen}
def peer(family, to):
    with socket_(family) as s:
        s.settimeout(PATIENCE); s.connect(to)
        return at(s.getpeername())
for l, family, host in zip(listeners, (AF_INET, AF_INET6), ("127.0.0.1", "::1")):
    own = (host, l.getsockname()[1])
    show(peer(family, own) == at(own), at(l.accept()[1]).startswith(host))
show(peer(AF_INET6, ("::ffff:127.0.0.1", listeners[0].getsockname()[1])))
show(ask(AF_INET, ("127.0.0.1", {v4}))[:10], ask(AF_INET6, ("::1", {v6}))[:4])
"#
        );
        let lines = lab.guarded(&script);
        assert_eq!(lines[1..3], ["True True", "True True"]);
        assert!(lines[3].starts_with("::ffff:127.0.0.1:"), "{lines:?}");
        assert_eq!(lines[4], "127.0.0.1: [::1", "the proxy was told of the stranger's listener");
        drop(other);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_guarded_process_cannot_take_our_ports() {
    isolated(|| {
        let mut lab = Lab::new();
        let ports = lab.ports();
        lab.crash();
        let script = format!(
            "s = socket_(); show(outcome(s.bind, ('127.0.0.1', {})))\n\
             s = socket_(AF_INET6); show(outcome(s.bind, ('::', {})))\n\
             s = socket_(type=SOCK_DGRAM); show(outcome(s.bind, ('0.0.0.0', {})))\n\
             s = socket_(); show(outcome(s.bind, ('127.0.0.1', 0)))",
            ports.proxy, ports.proxy, ports.resolver
        );
        assert_eq!(lab.guarded(&script), ["EPERM", "EPERM", "EPERM", "None"]);
        lab.restart();
        for _ in 0..3 {
            let (hook, refusal, _) = lab.event();
            assert_eq!((hook, refusal), (Hook::Bind, Refusal::OwnPort));
        }
    });
}
