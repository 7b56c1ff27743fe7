// SPDX-License-Identifier: Apache-2.0 OR MIT
//! By an unguarded process that received the connected socket.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp()
s.connect(V4)
peer = meet()
pass_socket(peer, s)
peer.recv(1)
"#;

const HELPER: &str = r#"
peer = met()
take_socket(peer, AF_INET, SOCK_DGRAM).send(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connected_socket_that_is_given_to_somebody_else_sends_nothing() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .hardened_by(&[program::UNIX_STREAM_CONNECT])
        .where_hardened(Refused(Hook::UnixConnect, Refusal::Helper))
        .held_by(&[program::EGRESS])
        .with_helper(HELPER)
        .prove();
}
