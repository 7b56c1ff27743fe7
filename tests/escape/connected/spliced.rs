// SPDX-License-Identifier: Apache-2.0 OR MIT
//! With `splice` from a pipe.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
end, start = os.pipe()
os.write(start, MARKER)
s = udp()
s.connect(V4)
os.splice(end, s.fileno(), len(MARKER))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_pipe_that_is_spliced_into_a_connected_socket_is_dropped() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
