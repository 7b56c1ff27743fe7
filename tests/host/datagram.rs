// SPDX-License-Identifier: Apache-2.0 OR MIT
//! UDP of a guarded process: name queries reach the resolver, nothing else goes anywhere.

use enforcer_common::{Hook, PROTOCOL_UDP, Refusal, mapped_v4};

use enforcer_tests::lab::{Lab, isolated};

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_that_is_no_name_query_is_refused_and_told() {
    isolated(|| {
        let mut lab = Lab::new();
        let send = "show(outcome(socket_(AF_INET, SOCK_DGRAM).sendto, b'x', ('10.99.0.2', 443)))";
        let connect = "show(outcome(socket_(AF_INET, SOCK_DGRAM).connect, ('10.99.0.2', 443)))";
        let mapped =
            "show(outcome(socket_(AF_INET6, SOCK_DGRAM).sendto, b'x', ('::ffff:10.99.0.2', 443)))";
        for (script, hook) in
            [(send, Hook::Sendmsg), (connect, Hook::Connect), (mapped, Hook::Sendmsg)]
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
