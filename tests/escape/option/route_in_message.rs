// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A source route that comes with the message, not with the socket.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp().sendmsg([query()], [(IPPROTO_IP, IP_RETOPTS, source_route(131))], 0, ("10.99.0.2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_source_route_beside_a_datagram_does_not_lead_outside() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
