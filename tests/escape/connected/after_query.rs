// SPDX-License-Identifier: Apache-2.0 OR MIT
//! After the same socket sent a query to a name server, which is allowed.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp()
s.connect(V4)
s.sendto(query(b"a"), ("10.99.0.2", 53))
s.send(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_a_connected_socket_sends_after_a_query_is_dropped() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
