// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An address of one device.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET6).sendto(MARKER, ("fe80::99", 8080, 0, device()))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_to_a_link_local_address_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG6, program::EGRESS])
        .prove();
}
