// SPDX-License-Identifier: Apache-2.0 OR MIT
//! To a service of this host on loopback.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
s = udp()
s.connect(("127.0.0.1", STRANGER))
s.send(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_a_connected_socket_sends_to_loopback_is_dropped() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::EGRESS])
        .prove();
}
