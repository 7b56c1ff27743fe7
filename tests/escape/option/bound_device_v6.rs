// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same over IPv6.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
tcp(AF_INET6, NO_COOKIE, BOUND).sendto(MARKER, FASTOPEN, V6)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_bound_device_does_not_lead_past_the_redirect_over_ipv6() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::CONNECT6, program::INGRESS, program::EGRESS])
        .prove();
}
