// SPDX-License-Identifier: Apache-2.0 OR MIT
//! IPv4 through an IPv6 socket.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET6).sendto(MARKER, MAPPED)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_to_a_mapped_address_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
