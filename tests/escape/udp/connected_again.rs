// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connected to a name server, which is allowed, then elsewhere.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp(bind=("10.99.0.1", 0))
s.connect(("10.99.0.2", 53))
s.connect(V4)
s.send(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_socket_that_is_connected_again_is_refused() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
