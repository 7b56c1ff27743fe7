// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Received from an unguarded process that has set a routing header on it.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
peer = meet()
s = take_socket(peer, AF_INET6)
s.sendto(MARKER, FASTOPEN, V6)
"#;

const HELPER: &str = r#"
with met() as peer:
    pass_socket(peer, tcp(AF_INET6, NO_COOKIE, (IPPROTO_IPV6, IPV6_RTHDR, segments())))
    peer.recv(1)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_socket_that_somebody_else_gave_a_route_is_held() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .hardened_by(&[
            program::UNIX_STREAM_CONNECT,
            program::FILE_RECEIVE,
            program::SOCKET_SENDMSG,
        ])
        .where_hardened(Refused(Hook::UnixConnect, Refusal::Helper))
        .held_by(&[program::EGRESS])
        .with_helper(HELPER)
        .prove();
}
