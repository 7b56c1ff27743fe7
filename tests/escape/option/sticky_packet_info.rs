// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device is an option of the socket, but does not bind it.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET6, (IPPROTO_IPV6, IPV6_PKTINFO, struct.pack("=16si", bytes(16), device()))).sendto(query(), ("fd99::2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_device_for_every_datagram_does_not_lead_outside() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
