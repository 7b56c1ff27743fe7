// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TCP of a guarded process reaches the proxy, which learns where it wanted to go.

use enforcer_common::{Hook, PROTOCOL_TCP, Refusal};

use crate::lab::{Lab, isolated};

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
fn an_origin_is_gone_when_the_socket_is_closed() {
    isolated(|| {
        let mut lab = Lab::new();
        lab.crash();
        // Nobody takes the origin: the connect fails and the socket is closed by the kernel.
        let script = "s = socket_(); s.bind(('127.0.0.1', 4567)); \
                      show(outcome(s.connect, ('10.99.0.2', 80)))";
        assert_eq!(lab.guarded(script), ["ECONNREFUSED"]);
        lab.restart();
        let peer = "127.0.0.1:4567".parse().unwrap();
        assert_eq!(lab.kernel().origins().take(peer, PROTOCOL_TCP).unwrap(), None);
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

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_unguarded_process_notices_nothing() {
    isolated(|| {
        let mut lab = Lab::new();
        let script = r#"
def tcp(address, family=AF_INET):
    with socket_(family) as s:
        s.settimeout(PATIENCE); s.connect(address); return at(s.getpeername())
listener = socket_(); listener.bind(("127.0.0.1", 0)); listener.listen()
show(tcp(listener.getsockname()) == at(listener.getsockname()))
show(outcome(tcp, ("127.0.0.1", 1)), outcome(tcp, ("10.99.0.2", 80)), outcome(tcp, ("fd99::2", 80), AF_INET6))
udp = socket_(AF_INET, SOCK_DGRAM)
show(outcome(udp.sendto, b"x", ("10.99.0.2", 443)), outcome(udp.connect, ("10.99.0.2", 53)))
show(outcome(lambda: socket_(AF_INET, SOCK_RAW, 253).family.name))
show(outcome(lambda: socket_(AF_INET, SOCK_DGRAM, 136).family.name))
"#;
        let outside = crate::child::run(None, script);
        assert_eq!(outside[1], "ECONNREFUSED ENETUNREACH ENETUNREACH");
        assert_eq!(lab.beside(script), outside);
        assert!(!lab.has_event());
    });
}
