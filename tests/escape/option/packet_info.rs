// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device comes with the message.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
info = struct.pack("=i4s4s", device(), bytes(4), bytes(4))
udp().sendmsg([query()], [(IPPROTO_IP, 8, info)], 0, ("10.99.0.2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_device_beside_a_datagram_does_not_lead_outside() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
