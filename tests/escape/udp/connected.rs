// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connected first.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp()
s.connect(V4)
s.send(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connected_datagram_socket_is_refused() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
