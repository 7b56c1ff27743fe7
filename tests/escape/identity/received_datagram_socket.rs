// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Received from an unguarded process.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
peer = meet()
s = take_socket(peer, AF_INET, SOCK_DGRAM)
s.sendto(MARKER, V4)
"#;

const HELPER: &str = r#"
with met() as peer:
    pass_socket(peer, udp())
    peer.recv(1)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_socket_that_somebody_else_made_is_held() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .hardened_by(&[
            program::UNIX_STREAM_CONNECT,
            program::FILE_RECEIVE,
            program::SOCKET_SENDMSG,
        ])
        .where_hardened(Refused(Hook::UnixConnect, Refusal::Helper))
        .held_by(&[program::SENDMSG4])
        .with_helper(HELPER)
        .prove();
}
