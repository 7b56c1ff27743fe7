// SPDX-License-Identifier: Apache-2.0 OR MIT
//! To whoever listens, over IPv6.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET6).sendto(MARKER, ("ff02::1", 8080, 0, device()))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_to_an_ipv6_group_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG6, program::EGRESS])
        .prove();
}
