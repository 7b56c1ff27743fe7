// SPDX-License-Identifier: Apache-2.0 OR MIT
//! With `write`.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp()
s.connect(V4)
os.write(s.fileno(), MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_is_written_to_a_connected_socket_is_dropped() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
