// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device that datagrams leave by unless they name one.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET, (IPPROTO_IP, 50, struct.pack("!i", device()))).sendto(query(), ("10.99.0.2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_device_for_unicast_does_not_lead_outside() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
