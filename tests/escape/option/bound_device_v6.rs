// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same over IPv6.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Redirected, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
tcp(AF_INET6, NO_COOKIE, BOUND).sendto(MARKER, FASTOPEN, V6)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_bound_device_does_not_lead_past_the_redirect_over_ipv6() {
    Technique::new(Redirected("[fd99::2]:8080"), SCRIPT)
        .for_nobody(Refused(Hook::Connect, Refusal::Device))
        .held_by(&[program::CONNECT6, program::INGRESS, program::EGRESS])
        .prove();
}
