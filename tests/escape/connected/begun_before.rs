// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A datagram that is begun for the outside and finished after the socket was connected to a name
//! server, which is allowed: the kernel sends it to the new address by the route to the old one.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp(bind=("10.99.0.1", 0))
s.connect(("10.77.0.1", 8080))
s.send(MARKER, 0x8000)
s.connect(("10.77.0.2", 53))
s.send(b"x")
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_that_was_begun_before_another_connect_is_dropped() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
