// SPDX-License-Identifier: Apache-2.0 OR MIT
//! UDP of a guarded process: name queries reach the resolver, nothing else goes anywhere.

use enforcer_common::{Hook, PROTOCOL_UDP, Refusal, mapped_v4};

use enforcer_tests::lab::wire::World;
use enforcer_tests::lab::{Lab, isolated};

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_that_is_no_name_query_is_refused_and_told() {
    isolated(|| {
        let _world = World::new();
        let mut lab = Lab::new();
        let send = "show(outcome(socket_(AF_INET, SOCK_DGRAM).sendto, b'x', ('10.99.0.2', 443)))";
        let connected = "s = socket_(AF_INET, SOCK_DGRAM); s.connect(('10.99.0.2', 443)); \
                         show(outcome(s.send, b'x'))";
        let mapped =
            "show(outcome(socket_(AF_INET6, SOCK_DGRAM).sendto, b'x', ('::ffff:10.99.0.2', 443)))";
        for (script, hook) in
            [(send, Hook::Sendmsg), (connected, Hook::Egress), (mapped, Hook::Sendmsg)]
        {
            assert_eq!(lab.guarded(script), ["EPERM"], "{script}");
            let (seen, refusal, event) = lab.event();
            assert_eq!((seen, refusal), (hook, Refusal::Datagram), "{script}");
            assert_eq!((event.address, event.port), (mapped_v4([10, 99, 0, 2]), 443));
            assert_eq!((event.protocol, event.uid), (PROTOCOL_UDP, 0));
            assert!(event.comm.starts_with(b"python") && event.tgid != 0 && event.at_boot_ns != 0);
        }
        let v6 = "show(outcome(socket_(AF_INET6, SOCK_DGRAM).sendto, b'x', ('fd99::2', 443)))";
        assert_eq!(lab.guarded(v6), ["EPERM"]);
        assert_eq!(lab.event().2.family, 10);
    });
}

/// Connects datagram sockets and sends nothing: as the C library does to sort the addresses of a name, on one socket
/// that it disconnects in between, and as programs do to learn their own address.
const CONNECTS: &str = r#"
def tried(s, address):
    done = outcome(s.connect, address)
    show(address, done, s.getsockname()[0], outcome(lambda: s.getpeername()[:2]))
V4 = ("10.99.0.2", "10.99.0.1", "10.77.0.1", "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.99.0.255")
for port in (443, 1, 0, 65535):
    for address in V4: tried(socket_(AF_INET, SOCK_DGRAM), (address, port))
    for address in ("fd99::2", "fd99::1", "fd77::1", "::1", "::", "::ffff:10.99.0.2", "::ffff:10.77.0.1"):
        tried(socket_(AF_INET6, SOCK_DGRAM), (address, port))
import ctypes
libc = ctypes.CDLL(None)
s = socket_(AF_INET, SOCK_DGRAM)
for address in V4:
    tried(s, (address, 443)); libc.connect(s.fileno(), bytes(16), 16)
b = socket_(AF_INET, SOCK_DGRAM); b.setsockopt(SOL_SOCKET, SO_BROADCAST, 1); tried(b, ("10.99.0.2", 443))
b = socket_(AF_INET, SOCK_DGRAM); b.bind(("10.99.0.1", 0)); tried(b, ("10.99.0.2", 443)); tried(b, ("10.99.0.2", 80))
b = socket_(AF_INET6, SOCK_DGRAM); b.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1); tried(b, ("fd99::2", 443))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connect_without_a_datagram_succeeds_as_without_enforcer_and_is_not_recorded() {
    isolated(|| {
        let world = World::new();
        let mut lab = Lab::new();
        for script in [CONNECTS.to_owned(), format!("as_nobody()\n{CONNECTS}")] {
            let unguarded = lab.beside(&script);
            assert!(unguarded.len() > 60, "{unguarded:?}");
            assert!(unguarded[0].contains("None 10.99.0.1 ("), "{unguarded:?}");
            assert_eq!(lab.guarded(&script), unguarded);
        }
        // Without the daemon, too: only what is redirected needs it.
        lab.close_doors();
        assert_eq!(lab.guarded(CONNECTS), lab.beside(CONNECTS));
        assert!(!lab.has_event(), "something was recorded");
        assert_eq!(world.arrived(), Vec::<Vec<u8>>::new());
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_is_sent_over_a_connected_socket_is_recorded_with_who_connected_it_and_where_it_would_go() {
    isolated(|| {
        let world = World::new();
        let mut lab = Lab::new();
        let script = r#"
show(os.getpid())
for family, address in (
    (AF_INET, ("10.99.0.2", 443)), (AF_INET6, ("fd99::2", 9)), (AF_INET6, ("::ffff:10.99.0.2", 7)),
    (AF_INET, ("127.0.0.1", 9)), (AF_INET6, ("::1", 9)), (AF_INET, ("10.99.0.1", 9)),
):
    s = socket_(family, SOCK_DGRAM); s.connect(address)
    show(outcome(s.send, b"x"), outcome(s.send, b"x"), outcome(s.sendmsg, [b"x"], [(IPPROTO_IP, IP_TOS, struct.pack("i", 8))]) if family == AF_INET else "EPERM")
"#;
        let lines = lab.guarded(script);
        assert_eq!(lines[1..], ["EPERM EPERM EPERM"; 6]);
        use Hook::{Egress, Sendmsg};
        for (destination, hooks) in [
            ("10.99.0.2:443", &[Egress, Egress, Sendmsg][..]),
            ("[fd99::2]:9", &[Egress, Egress]),
            ("10.99.0.2:7", &[Sendmsg, Sendmsg]),
            ("127.0.0.1:9", &[Egress, Egress, Sendmsg]),
            ("[::1]:9", &[Egress, Egress]),
            ("10.99.0.1:9", &[Egress, Egress, Sendmsg]),
        ] {
            for seen in hooks {
                let (hook, refusal, event) = lab.event();
                assert_eq!((hook, refusal), (*seen, Refusal::Datagram), "{destination}");
                let address = std::net::Ipv6Addr::from(event.address).to_canonical();
                let to = std::net::SocketAddr::new(address, event.port);
                assert_eq!(to.to_string(), destination);
                assert_eq!(
                    (event.tgid.to_string(), event.protocol),
                    (lines[0].clone(), PROTOCOL_UDP)
                );
                assert_eq!((event.socket_type, event.comm.starts_with(b"python")), (2, true));
            }
        }
        assert!(!lab.has_event());
        assert_eq!(world.arrived(), Vec::<Vec<u8>>::new());
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_name_query_reaches_the_resolver_and_its_answer_comes_from_the_server() {
    isolated(|| {
        let lab = Lab::new();
        let check = |family: &str, server: &str, origin: &str| {
            let lines = lab.guarded(&format!(
                r#"
show(os.getpid())
s = socket_({family}, SOCK_DGRAM); s.settimeout(PATIENCE)
s.sendto(b"q", ("{server}", 53)); answer, server = s.recvfrom(200)
show(answer.decode(), at(server))
c = socket_({family}, SOCK_DGRAM); c.settimeout(PATIENCE)
c.connect(("{server}", 53)); c.send(b"q1"); c.send(b"q2")
for _ in range(2):
    answer, server = c.recvfrom(200)
    show(answer.decode(), at(server))
show(at(c.getpeername()))
"#
            ));
            let expect = format!("{origin} pid {} uid 0 {server}:53", lines[0]);
            assert_eq!(lines[1..4], [expect.clone(), expect.clone(), expect]);
            assert_eq!(lines[4], format!("{server}:53"));
        };
        check("AF_INET", "10.99.0.53", "10.99.0.53:53");
        check("AF_INET", "127.0.0.53", "127.0.0.53:53");
        check("AF_INET6", "fd99::53", "[fd99::53]:53");
        check("AF_INET6", "::ffff:10.99.0.53", "10.99.0.53:53");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn answers_of_several_servers_asked_at_once_come_from_the_server_that_was_asked() {
    isolated(|| {
        let lab = Lab::new();
        // Six servers on one socket: more than it can tell apart at once, but no more than four in flight.
        let script = r#"
s = socket_(AF_INET, SOCK_DGRAM); s.settimeout(PATIENCE)
for servers in (["10.99.0.%d" % n for n in (1, 2, 3, 4)], ["10.99.0.%d" % n for n in (5, 6, 1, 2)]):
    for server in servers: s.sendto(b"q", (server, 53))
    answers = [s.recvfrom(200) for _ in servers]
    show(sorted(server[0] for _, server in answers) == sorted(servers))
"#;
        assert_eq!(lab.guarded(script), ["True"; 2]);
    });
}
