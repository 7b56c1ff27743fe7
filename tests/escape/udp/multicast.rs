// SPDX-License-Identifier: Apache-2.0 OR MIT
//! To whoever listens.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET, (IPPROTO_IP, IP_MULTICAST_IF, inet_aton("10.99.0.1"))).sendto(MARKER, ("239.1.1.1", 8080))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_to_a_group_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
