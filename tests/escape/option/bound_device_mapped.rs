// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same to IPv4 through an IPv6 socket.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
tcp(AF_INET6, NO_COOKIE, BOUND).sendto(MARKER, FASTOPEN, MAPPED)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_bound_device_does_not_lead_past_the_redirect_for_a_mapped_address() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::CONNECT6, program::INGRESS, program::EGRESS])
        .prove();
}
