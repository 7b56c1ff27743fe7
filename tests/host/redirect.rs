// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TCP of a guarded process reaches the proxy, which learns where it wanted to go.

use enforcer_common::{Hook, Refusal};

use enforcer_tests::lab::wire::World;
use enforcer_tests::lab::{Lab, PATIENCE, child, ip, isolated};

/// Runs a client and expects the proxy's word and `getpeername` to name the destination.
fn check(lab: &Lab, client: &str, destination: &str, peer: &str) {
    let lines = lab.guarded(&format!("show(os.getpid()); show({client})"));
    let expect = format!("{destination} pid {} uid 0 {peer}", lines[0]);
    assert_eq!(lines[1], expect, "{client}");
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn every_tcp_connect_of_a_guarded_process_reaches_the_proxy_with_its_origin() {
    isolated(|| {
        let lab = Lab::new();
        let v4 = "10.99.0.2:8080";
        check(&lab, "ask(AF_INET, ('10.99.0.2', 8080))", v4, v4);
        check(&lab, "ask(AF_INET6, ('fd99::2', 443))", "[fd99::2]:443", "fd99::2:443");
        check(&lab, "ask(AF_INET6, ('::ffff:10.99.0.2', 8080))", v4, "::ffff:10.99.0.2:8080");
        check(&lab, "ask(AF_INET, ('10.99.0.2', 8080), ('127.0.0.5', 0))", v4, v4);
        check(&lab, "ask(AF_INET6, ('fd99::2', 443), ('::1', 0))", "[fd99::2]:443", "fd99::2:443");
        let only_v6 = "ask(AF_INET6, ('fd99::2', 443), None, [(IPPROTO_IPV6, IPV6_V6ONLY, 1)])";
        check(&lab, only_v6, "[fd99::2]:443", "fd99::2:443");
        check(&lab, "ask(AF_INET, ('127.0.0.1', 9))", "127.0.0.1:9", "127.0.0.1:9");
        check(&lab, "ask(AF_INET, ('0.0.0.0', 9))", "0.0.0.0:9", "0.0.0.0:9");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connect_that_does_not_wait_and_one_that_sends_at_once_are_redirected() {
    isolated(|| {
        let lab = Lab::new();
        let lines = lab.guarded(
            r#"
import select
s = socket_(); s.setblocking(False)
show(errno.errorcode[s.connect_ex(("10.99.0.2", 8080))])
select.select([], [s], [], PATIENCE); s.setblocking(True)
show(s.recv(200).decode().split()[0], at(s.getpeername()))
t = socket_()
show(t.sendto(b"hello", 0x20000000, ("10.99.0.3", 80)))
show(t.recv(200).decode().split()[0])
"#,
        );
        let expect = ["EINPROGRESS", "10.99.0.2:8080 10.99.0.2:8080", "5", "10.99.0.3:80"];
        assert_eq!(lines, expect);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_origin_that_nobody_took_is_no_other_connections() {
    isolated(|| {
        let mut lab = Lab::new();
        lab.crash();
        // Nobody takes the origin: the connect fails, and what it has left stays until it is evicted.
        let script = "s = socket_(); s.bind(('127.0.0.1', 4567)); \
                      show(outcome(s.connect, ('10.99.0.2', 80)))";
        assert_eq!(lab.guarded(script), ["ECONNREFUSED"]);
        assert_eq!(lab.origins_kept(), 1);
        let port = lab.ports().proxy;
        lab.restart();
        let script =
            format!("s = socket_(); s.bind(('127.0.0.1', 4567)); s.connect(('127.0.0.1', {port}))");
        lab.beside(&script);
        let arrival = lab.arrival_within(*PATIENCE).expect("an arrival");
        assert_eq!(arrival.origin, None);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn our_own_ports_cannot_be_named() {
    isolated(|| {
        let mut lab = Lab::new();
        let ports = lab.ports();
        for (family, address, port) in [
            ("AF_INET", "127.0.0.1", ports.proxy),
            ("AF_INET", "127.8.8.8", ports.proxy),
            ("AF_INET", "0.0.0.0", ports.resolver),
            ("AF_INET6", "::1", ports.proxy),
            ("AF_INET6", "::", ports.proxy),
            ("AF_INET6", "::ffff:127.0.0.1", ports.proxy),
        ] {
            let script = format!("show(outcome(ask, {family}, ('{address}', {port})))");
            assert_eq!(lab.guarded(&script), ["EPERM"], "{address}");
            let (hook, refusal, event) = lab.event();
            assert_eq!((hook, refusal, event.port), (Hook::Connect, Refusal::OwnPort, port));
        }
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_process_in_another_namespace_is_refused() {
    isolated(|| {
        let mut lab = Lab::new();
        let script = "import ctypes; assert ctypes.CDLL(None).unshare(0x40000000) == 0\n\
                      show(outcome(ask, AF_INET, ('10.99.0.2', 80)))";
        assert_eq!(lab.guarded(script), ["EPERM"]);
        let (hook, refusal, _) = lab.event();
        assert_eq!((hook, refusal), (Hook::Connect, Refusal::Namespace));
    });
}

/// What an unguarded process can meet, each in words: peers, and every error that needs no waiting.
pub(crate) const EVERYTHING: &str = r#"
listener = socket_(); listener.bind(("127.0.0.1", 0)); listener.listen(); here = listener.getsockname()
listener6 = socket_(AF_INET6); listener6.bind(("::1", 0)); listener6.listen(); here6 = listener6.getsockname()
def tcp(address, family=AF_INET, bind=None, options=(), twice=False):
    with socket_(family) as s:
        s.settimeout(20)
        for option in options: s.setsockopt(*option)
        if bind: s.bind(bind)
        s.connect(address)
        if twice: s.connect(address)
        return s.getpeername()[:2] == address
def made(*kind):
    return lambda: socket_(*kind).close()
def said(data, *to, options=(), family=AF_INET):
    with socket_(family, SOCK_DGRAM) as s:
        for option in options: s.setsockopt(*option)
        return s.sendto(data, *to)
def raw_connect(family, address):
    import ctypes
    with socket_(family) as s:
        if ctypes.CDLL(None, use_errno=True).connect(s.fileno(), address, len(address)) == 0: return "connected"
        raise OSError(ctypes.get_errno(), "")
def pending():
    # Two that may wait: their queue is full, so that the third stays under way.
    full = socket_(); full.bind(("127.0.0.1", 0)); full.listen(0); to, kept, seen = full.getsockname(), [], []
    for _ in range(4):
        s = socket_(); s.setblocking(False); kept.append(s); seen.append(errno.errorcode.get(s.connect_ex(to)))
    seen.append(errno.errorcode.get(kept[-1].connect_ex(to)))
    return " ".join(map(str, seen))
def timed_out():
    full = socket_(); full.bind(("127.0.0.1", 0)); full.listen(0); to = full.getsockname()
    kept = [socket_() for _ in range(4)]
    for s in kept: s.setblocking(False); s.connect_ex(to)
    with socket_() as s:
        s.setsockopt(IPPROTO_TCP, 18, 100)  # TCP_USER_TIMEOUT
        s.connect(to)
def shown(name, f, *args, **named):
    show(name, outcome(lambda: f(*args, **named)))
shown("peer", tcp, here); shown("peer6", tcp, here6[:2], AF_INET6)
shown("peer mapped", tcp, ("::ffff:127.0.0.1", here[1]), AF_INET6)
shown("refused", tcp, ("127.0.0.1", 1)); shown("refused6", tcp, ("::1", 1), AF_INET6)
shown("no route", tcp, ("10.98.0.2", 80)); shown("no route6", tcp, ("fd98::2", 80), AF_INET6)
shown("no host", tcp, ("10.99.0.9", 80)); shown("unreachable", tcp, ("10.97.0.1", 80))
shown("prohibited", tcp, ("10.96.0.1", 80)); shown("black hole", tcp, ("10.95.0.1", 80))
shown("no such source", tcp, here, bind=("10.94.0.1", 0)); shown("connected twice", tcp, here, twice=True)
shown("from loopback", tcp, ("10.99.0.2", 80), bind=("127.0.0.1", 0))
shown("taken", lambda: socket_().bind(here)); shown("no port", tcp, ("127.0.0.1", 0))
shown("broadcast", tcp, ("255.255.255.255", 80)); shown("multicast", tcp, ("224.0.0.1", 80))
shown("short", raw_connect, AF_INET, b"\2\0\0\1"); shown("other family", raw_connect, AF_INET, bytes([1]) + bytes(15))
shown("v6 short", raw_connect, AF_INET6, b"\n\0" + bytes(14)); shown("v4 on v6", raw_connect, AF_INET6, b"\2\0" + bytes(26))
shown("only v6", tcp, ("::ffff:127.0.0.1", here[1]), AF_INET6, options=[(IPPROTO_IPV6, IPV6_V6ONLY, 1)])
shown("listening", lambda: listener.connect(here)); shown("closed", lambda: os.close(4000))
shown("under way", pending); shown("timed out", timed_out)
shown("unbound device", tcp, here, options=[(SOL_SOCKET, SO_BINDTODEVICE, b"nothere")])
shown("said broadcast", said, b"x", ("10.99.0.255", 9)); shown("said to nobody", lambda: socket_(type=SOCK_DGRAM).send(b"x"))
shown("said refused", lambda: [s := socket_(type=SOCK_DGRAM), s.connect(("127.0.0.1", 1)), s.send(b"x"), s.send(b"x")])
shown("said no route", said, b"x", ("10.98.0.2", 9)); shown("said too much", said, bytes(70000), here)
shown("said no port", said, b"x", ("127.0.0.1", 0)); shown("said6", said, b"x", ("::1", 9), family=AF_INET6)
for kind in (AF_INET, SOCK_STREAM, 132), (AF_INET, SOCK_SEQPACKET, 0), (AF_INET, SOCK_DGRAM, 6), (AF_INET, SOCK_STREAM, 17), \
        (AF_INET, SOCK_RAW, 253), (AF_INET, SOCK_RAW, 0), (AF_INET, SOCK_DGRAM, 136), (AF_INET6, SOCK_DGRAM, 58), \
        (AF_INET, SOCK_STREAM, 262), (AF_INET, 9, 0), (45, SOCK_STREAM, 0), (AF_PACKET, SOCK_RAW, 0):
    shown(kind, made(*kind))
as_nobody()
for kind in (AF_INET, SOCK_RAW, 253), (AF_INET, SOCK_DGRAM, 1), (AF_PACKET, SOCK_RAW, 0): shown(("nobody", *kind), made(*kind))
shown("nobody's port", lambda: socket_().bind(("127.0.0.1", 80)))
"#;

/// Where [`EVERYTHING`] can be met.
pub(crate) fn world_of_errors() -> World {
    let world = World::new();
    ip("route add unreachable 10.97.0.0/24");
    ip("route add prohibit 10.96.0.0/24");
    ip("route add blackhole 10.95.0.0/24");
    // Nobody answers there, and that is known at once.
    ip("neighbor add 10.99.0.9 dev near nud failed");
    world
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_unguarded_process_meets_the_same_peers_and_the_same_errors() {
    isolated(|| {
        let _world = world_of_errors();
        let mut lab = Lab::new();
        let outside = child::run(None, EVERYTHING);
        assert_eq!(lab.beside(EVERYTHING), outside);
        assert!(!lab.has_event());
        let text = outside.join("\n");
        for errno in [
            "EACCES",
            "EADDRINUSE",
            "EADDRNOTAVAIL",
            "EAFNOSUPPORT",
            "EALREADY",
            "ECONNREFUSED",
            "EDESTADDRREQ",
            "EHOSTUNREACH",
            "EINPROGRESS",
            "EINVAL",
            "EISCONN",
            "EMSGSIZE",
            "ENETUNREACH",
            "EPERM",
            "EPROTONOSUPPORT",
            "ESOCKTNOSUPPORT",
            "ETIMEDOUT",
        ] {
            assert!(text.contains(errno), "{errno} was not met");
        }
    });
}
