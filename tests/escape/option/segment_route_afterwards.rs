// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The connection is redirected first; then its packets get a routing header.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = tcp(AF_INET6)
s.connect(V6)
s.setsockopt(IPPROTO_IPV6, IPV6_RTHDR, segments())
s.sendall(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_segment_route_that_is_set_after_the_connect_does_not_lead_outside() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::EGRESS])
        .prove();
}
