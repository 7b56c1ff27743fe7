// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Made inside, used by an unguarded process.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
peer = meet()
pass_socket(peer, udp())
peer.recv(1)
"#;

const HELPER: &str = r#"
peer = met()
take_socket(peer, AF_INET, SOCK_DGRAM).sendto(MARKER, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_socket_that_is_given_to_somebody_else_is_held() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .hardened_by(&[program::UNIX_STREAM_CONNECT])
        .where_hardened(Refused(Hook::UnixConnect, Refusal::Helper))
        .held_by(&[program::EGRESS])
        .with_helper(HELPER)
        .prove();
}
