// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connected to a name server, which is allowed, then sent elsewhere.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp(bind=("10.99.0.1", 0))
s.connect(("10.99.0.2", 53))
s.sendto(MARKER, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_past_the_connected_address_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
