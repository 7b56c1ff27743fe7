// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device is named by its number.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
tcp(AF_INET, NO_COOKIE, (SOL_SOCKET, 62, device())).sendto(MARKER, FASTOPEN, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_device_bound_by_its_number_does_not_lead_past_the_redirect() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
