// SPDX-License-Identifier: Apache-2.0 OR MIT
//! With `MSG_ZEROCOPY`.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp(AF_INET, (SOL_SOCKET, 60, 1))
s.connect(V4)
s.send(MARKER, 0x4000000)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connected_datagram_that_is_not_copied_is_dropped() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
