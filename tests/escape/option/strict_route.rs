// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same with a strict source route.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
tcp(AF_INET, NO_COOKIE, (IPPROTO_IP, IP_OPTIONS, source_route(137))).sendto(MARKER, FASTOPEN, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_strict_source_route_does_not_lead_past_the_redirect() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
