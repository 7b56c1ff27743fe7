// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A routing header wins against the rewritten address; anybody may set one.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = tcp(AF_INET6, NO_COOKIE, (IPPROTO_IPV6, IPV6_RTHDR, segments()))
s.sendto(MARKER, FASTOPEN, V6)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_segment_route_does_not_lead_past_the_redirect() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::EGRESS])
        .prove();
}
