// SPDX-License-Identifier: Apache-2.0 OR MIT
//! To everybody on the link.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET, (SOL_SOCKET, SO_BROADCAST, 1)).sendto(MARKER, ("10.99.0.255", 8080))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_broadcast_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS, program::SETSOCKOPT])
        .prove();
}
