// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A listener of one's own is reached directly; the routing header leads elsewhere.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
own = tcp(AF_INET6, bind=("::1", 0))
own.listen()
s = tcp(AF_INET6, NO_COOKIE, (IPPROTO_IPV6, IPV6_RTHDR, segments()))
s.sendto(MARKER, FASTOPEN, own.getsockname())
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_segment_route_to_an_own_listener_does_not_lead_outside() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::EGRESS])
        .prove();
}
