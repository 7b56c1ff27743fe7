// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guarded process makes TCP and UDP sockets and no others.

use enforcer_common::{Hook, Refusal};

use enforcer_tests::lab::{Lab, isolated};

#[test]
#[ignore = "needs root: cargo xtask test"]
fn other_kinds_of_sockets_are_refused_with_the_errno_that_makes_programs_fall_back() {
    isolated(|| {
        let mut lab = Lab::new();
        for (kind, socket_type, protocol) in [
            ("AF_INET, SOCK_RAW, 1", 3, 1),
            ("AF_INET, SOCK_RAW, 253", 3, 253),
            ("AF_INET6, SOCK_RAW, 58", 3, 58),
            ("AF_INET, SOCK_STREAM, 262", 1, 262),
            ("AF_INET6, SOCK_STREAM, 262", 1, 262),
            ("AF_INET, SOCK_DGRAM, 1", 2, 1),
            ("AF_INET6, SOCK_DGRAM, 58", 2, 58),
            ("AF_INET, SOCK_DGRAM, 136", 2, 136),
        ] {
            // Ping sockets are for the groups of this range only, and root's is not among them by default.
            let script = format!(
                "open('/proc/sys/net/ipv4/ping_group_range', 'w').write('0 0')\n\
                 show(outcome(socket_, {kind}))"
            );
            assert_eq!(lab.guarded(&script), ["EPROTONOSUPPORT"], "{kind}");
            let (hook, refusal, event) = lab.event();
            assert_eq!((hook, refusal), (Hook::SockCreate, Refusal::SocketKind), "{kind}");
            assert_eq!((event.socket_type, event.protocol), (socket_type, protocol), "{kind}");
        }
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn tcp_and_udp_sockets_can_be_made() {
    isolated(|| {
        let mut lab = Lab::new();
        for kind in [
            "AF_INET, SOCK_STREAM, 0",
            "AF_INET6, SOCK_STREAM, 6",
            "AF_INET, SOCK_DGRAM, 0",
            "AF_INET6, SOCK_DGRAM, 17",
            "AF_UNIX, SOCK_STREAM, 0",
            "AF_NETLINK, SOCK_RAW, 0",
        ] {
            let script = format!("show(outcome(lambda: socket_({kind}).close()))");
            assert_eq!(lab.guarded(&script), ["None"], "{kind}");
        }
        assert!(!lab.has_event());
    });
}
