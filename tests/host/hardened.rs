// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The hardened tier, against a guarded root and a guarded user 65534. Runs where this kernel loads and calls
//! security hooks; elsewhere each test says aloud why it did not run.

use std::fs;
use std::io::Write as _;

use enforcer_common::{Hook, Refusal};
use enforcer_user::kernel::{self, Tier};
use nix::mount::{MsFlags, mount};

use enforcer_tests::lab::{Lab, isolated};

/// Set where the kernel is known to do it: a test that does not run there has failed.
const EXPECTED: &str = "ENFORCER_TEST_HARDENED";

/// System calls that Python has no names for.
pub(crate) const PRELUDE: &str = r#"
import ctypes, signal
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
def call(*args):
    result = libc.syscall(*args)
    if result < 0:
        error = ctypes.get_errno(); raise OSError(error, os.strerror(error))
    return result
def trace(pid):
    if libc.ptrace(16, pid, None, None) < 0:
        error = ctypes.get_errno(); raise OSError(error, os.strerror(error))
    os.waitpid(pid, 0x40000000)
    libc.ptrace(17, pid, None, None)
def write_memory(pid):
    os.close(os.open("/proc/%d/mem" % pid, os.O_RDWR))
def steal(pid, fd):
    os.close(call(438, os.pidfd_open(pid), fd, 0))
"#;

/// Who a technique is tried as.
const WHO: [&str; 2] = ["", "as_nobody()\n"];

/// Runs a test where the hooks are in force.
pub(crate) fn hardened(test: impl FnOnce(Lab) + Send + 'static) {
    isolated(|| {
        let lab = Lab::new();
        if is_hardened(&lab) {
            test(lab);
        }
    });
}

/// Whether the hooks are in force; says aloud why they are not.
pub(crate) fn is_hardened(lab: &Lab) -> bool {
    let tier = lab.kernel().tier();
    let Some(reason) = tier.reason() else { return true };
    assert!(std::env::var_os(EXPECTED).is_none(), "{tier:?}");
    // Not through `eprintln`, which is captured.
    let line = format!("NOT RUN, this host is not hardened: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    false
}

/// The next events are of this kind, one for each of [`WHO`].
fn refused(lab: &mut Lab, hook: Hook, refusal: Refusal) {
    for uid in [0, 65534] {
        let (seen, why, event) = lab.event();
        assert_eq!((seen, why, event.uid), (hook, refusal, uid));
        assert_ne!(event.tgid, 0);
    }
}

/// Runs a script beside the agents, where it has to work, and then as a guarded root and user.
fn check(lab: &Lab, script: &str, free: &str, guarded: &str) {
    for who in WHO {
        let script = format!("{PRELUDE}{who}{script}");
        assert_eq!(lab.beside(&script), [free], "unguarded: {script}");
        assert_eq!(lab.guarded(&script), [guarded], "guarded: {script}");
    }
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_tier_is_found_by_trying_and_is_the_one_in_force() {
    isolated(|| {
        let lab = Lab::new();
        let probed = kernel::probe_tier().unwrap();
        assert_eq!(probed.name(), lab.kernel().tier().name(), "{probed:?}");
        assert_eq!(probed.reason().is_none(), probed == Tier::Hardened);
        assert!(std::env::var_os(EXPECTED).is_none() || probed == Tier::Hardened, "{probed:?}");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn families_that_no_other_hook_sees_are_refused() {
    hardened(|mut lab| {
        // Packet, XDP and vsock sockets, and the kernel's ciphers.
        for family in [17, 44, 40, 38] {
            for who in WHO {
                let script = format!("{who}show(outcome(socket_, {family}, SOCK_RAW))");
                assert_eq!(lab.guarded(&script), ["EAFNOSUPPORT"], "{family}");
            }
            refused(&mut lab, Hook::SocketCreate, Refusal::Family);
        }
        assert_eq!(lab.beside("show(socket_(17, SOCK_RAW).family)"), ["17"]);
        assert_eq!(lab.guarded("show(socket_(AF_NETLINK, SOCK_RAW).family.name)"), ["AF_NETLINK"]);
    });
}

/// An unguarded process connects, and hands the connection to a child that enters the session.
fn hand_over(lab: &Lab, who: &str, is_guarded: bool) -> Vec<String> {
    let enter = if is_guarded {
        format!("open('{}/cgroup.procs', 'w').write(str(os.getpid()))", lab.session().display())
    } else {
        String::new()
    };
    lab.beside(&format!(
        r#"{PRELUDE}
listener = socket_(); listener.bind(("127.0.0.1", 0)); listener.listen()
client = socket_(); client.connect(listener.getsockname()); server, _ = listener.accept()
near, far = socketpair()
child = os.fork()
if child == 0:
    {enter}
    {who}
    show(outcome(client.send, b"x"))
    message, fds, flags, _ = recv_fds(far, 10, 4)
    show(len(fds), outcome(lambda: socket_(fileno=fds[0]).send(b"y")) if fds else "-")
    os._exit(0)
send_fds(near, [b"f"], [client.fileno()])
os.waitpid(child, 0)
server.setblocking(False)
show(outcome(server.recv, 100))
"#
    ))
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connection_that_somebody_else_made_is_neither_received_nor_used() {
    hardened(|mut lab| {
        for who in ["pass", "as_nobody()"] {
            assert_eq!(hand_over(&lab, who, false), ["1", "1 1", "b'xy'"]);
            assert_eq!(hand_over(&lab, who, true), ["EPERM", "0 -", "EAGAIN"]);
            for hook in [Hook::SocketSend, Hook::FileReceive] {
                let (seen, refusal, event) = lab.event();
                assert_eq!((seen, refusal, event.family), (hook, Refusal::ForeignSocket, 2));
            }
        }
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_session_passes_its_own_connections_around() {
    hardened(|mut lab| {
        let script = r#"
near, far = socketpair()
s = socket_(); s.settimeout(PATIENCE); s.connect(("10.99.0.2", 80))
if os.fork() == 0:
    _, fds, _, _ = recv_fds(far, 10, 4)
    show(outcome(socket_(fileno=fds[0]).send, b"x")); os._exit(0)
send_fds(near, [b"f"], [s.fileno()])
os.wait()
"#;
        for who in WHO {
            assert_eq!(lab.guarded(&format!("{who}{script}")), ["1"]);
        }
        assert!(!lab.has_event());
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_process_that_is_guarded_while_it_runs_uses_its_sockets_through_the_proxy_only() {
    hardened(|mut lab| {
        let mut late = lab.start_beside(
            r#"
listener = socket_(); listener.bind(("127.0.0.1", 0)); listener.listen()
old = socket_(); old.connect(listener.getsockname())
new = socket_(); new.settimeout(PATIENCE)
show("ready"); input()
show(outcome(old.send, b"x"))
new.connect(("10.99.0.2", 80)); show(new.recv(200).decode()[:12], outcome(new.send, b"x"))
"#,
        );
        assert_eq!(late.line(), "ready");
        lab.guard_process(late.pid());
        late.go_on();
        assert_eq!(late.finish(), ["EPERM", "10.99.0.2:80 1"]);
        let (hook, refusal, _) = lab.event();
        assert_eq!((hook, refusal), (Hook::SocketSend, Refusal::ForeignSocket));
    });
}

/// A helper that is not guarded: streams and datagrams, by path and by an abstract name.
pub(crate) const HELPER: &str = r#"
names = ["/tmp/enforcer-helper-%d" % os.getpid(), "\0enforcer-helper-%d" % os.getpid()]
kept = []
for name in names:
    s = socket_(AF_UNIX, SOCK_STREAM); s.bind(name); s.listen(); kept.append(s)
    d = socket_(AF_UNIX, SOCK_DGRAM); d.bind(name + "-d"); kept.append(d)
for name in (names[0], names[0] + "-d"):
    os.chmod(name, 0o777)
show(os.getpid()); input()
for name in (names[0], names[0] + "-d"):
    os.unlink(name)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_helper_behind_a_unix_socket_is_not_reached() {
    hardened(|mut lab| {
        let mut helper = lab.start_beside(HELPER);
        let pid = helper.line();
        for name in [format!("/tmp/enforcer-helper-{pid}"), format!("\\0enforcer-helper-{pid}")] {
            let stream = format!("show(outcome(socket_(AF_UNIX, SOCK_STREAM).connect, '{name}'))");
            check(&lab, &stream, "None", "EPERM");
            refused(&mut lab, Hook::UnixConnect, Refusal::Helper);
            let send =
                format!("show(outcome(socket_(AF_UNIX, SOCK_DGRAM).sendto, b'x', '{name}-d'))");
            check(&lab, &send, "1", "EPERM");
            refused(&mut lab, Hook::UnixSend, Refusal::Helper);
            let connect =
                format!("show(outcome(socket_(AF_UNIX, SOCK_DGRAM).connect, '{name}-d'))");
            check(&lab, &connect, "None", "EPERM");
            refused(&mut lab, Hook::UnixSend, Refusal::Helper);
        }
        helper.go_on();
        helper.finish();
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_session_reaches_its_own_unix_sockets_and_the_hosts_log() {
    hardened(|mut lab| {
        // In this test's own mount namespace.
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        fs::create_dir_all("/run/systemd/journal").unwrap();
        let mut log = lab.start_beside(
            "s = socket_(AF_UNIX, SOCK_DGRAM); s.bind('/run/systemd/journal/dev-log')\n\
             os.chmod('/run/systemd/journal/dev-log', 0o777); show('ready')\n\
             show(s.recv(10), s.recv(10))",
        );
        assert_eq!(log.line(), "ready");
        let script = r#"
a, b = socketpair(AF_UNIX, SOCK_DGRAM); a.send(b"x"); show(b.recv(10))
name = "\0enforcer-own-%d" % os.getpid()
s = socket_(AF_UNIX, SOCK_STREAM); s.bind(name); s.listen()
show(outcome(socket_(AF_UNIX, SOCK_STREAM).connect, name))
show(outcome(socket_(AF_UNIX, SOCK_DGRAM).sendto, b"line", "/run/systemd/journal/dev-log"))
"#;
        for who in WHO {
            assert_eq!(lab.guarded(&format!("{who}{script}")), ["b'x'", "None", "4"]);
        }
        assert_eq!(log.finish(), ["b'line' b'line'"]);
        assert!(!lab.has_event());
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_unguarded_process_is_neither_traced_nor_written_to_nor_robbed() {
    hardened(|mut lab| {
        let targets = ["", "as_nobody()\n"].map(|who| {
            // A process that has changed its user by itself is no target for that user otherwise.
            let script = format!("{PRELUDE}{who}libc.prctl(4, 1); show('ready'); input()");
            let mut target = lab.start_beside(&script);
            assert_eq!(target.line(), "ready");
            target
        });
        for (who, target) in WHO.iter().zip(&targets) {
            let pid = target.pid();
            for (attempt, refused) in [
                (format!("outcome(trace, {pid})"), "EPERM"),
                (format!("outcome(write_memory, {pid})"), "EACCES"),
                (format!("outcome(steal, {pid}, 0)"), "EPERM"),
            ] {
                let script = format!("{PRELUDE}{who}show({attempt})");
                assert_eq!(lab.beside(&script), ["None"], "{script}");
                assert_eq!(lab.guarded(&script), [refused], "{script}");
                let (hook, refusal, _) = lab.event();
                assert_eq!((hook, refusal), (Hook::Ptrace, Refusal::OtherProcess), "{script}");
            }
            let own = r#"
child = os.fork()
if child == 0:
    signal.pause()
show(outcome(trace, child)); os.kill(child, 9); os.waitpid(child, 0)
"#;
            assert_eq!(lab.guarded(&format!("{PRELUDE}{own}")), ["None"], "an own child");
        }
    });
}
