// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A datagram that is redirected, with a routing header.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET6, (IPPROTO_IPV6, IPV6_RTHDR, segments())).sendto(query(), ("fd99::2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_query_with_a_segment_route_does_not_lead_outside() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::EGRESS])
        .prove();
}
