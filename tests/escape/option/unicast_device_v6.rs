// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same over IPv6.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET6, (IPPROTO_IPV6, 76, struct.pack("!i", device()))).sendto(query(), ("fd99::2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_device_for_unicast_does_not_lead_outside_over_ipv6() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
