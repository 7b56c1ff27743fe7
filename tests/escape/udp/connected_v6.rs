// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connected first, over IPv6.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp(AF_INET6)
s.connect(V6)
s.send(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connected_ipv6_datagram_socket_is_refused() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
