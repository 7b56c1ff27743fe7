// SPDX-License-Identifier: Apache-2.0 OR MIT
//! By a child of the process that connected the socket.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp()
s.connect(V4)
if os.fork() == 0:
    try:
        s.send(MARKER)
    except OSError:
        pass
    os._exit(0)
os.wait()
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_a_child_sends_over_a_connected_socket_is_dropped() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
