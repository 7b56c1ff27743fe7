// SPDX-License-Identifier: Apache-2.0 OR MIT
//! As one buffer that the kernel splits into datagrams.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp(AF_INET, (IPPROTO_UDP, 103, 16))
s.connect(V4)
s.send(MARKER + MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connected_datagram_that_the_kernel_cuts_is_dropped() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
