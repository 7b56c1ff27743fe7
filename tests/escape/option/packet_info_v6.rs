// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device comes with the message.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
info = struct.pack("=16si", bytes(16), device())
udp(AF_INET6).sendmsg([query()], [(IPPROTO_IPV6, IPV6_PKTINFO, info)], 0, ("fd99::2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_device_beside_a_datagram_does_not_lead_outside_over_ipv6() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
