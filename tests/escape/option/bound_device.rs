// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device wins against the rewritten address, and takes the data along in the SYN.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
tcp(AF_INET, NO_COOKIE, BOUND).sendto(MARKER, FASTOPEN, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_bound_device_does_not_lead_past_the_redirect() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
