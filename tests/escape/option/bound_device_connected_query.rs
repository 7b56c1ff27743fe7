// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same after a connect.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp(AF_INET, BOUND)
s.connect(("10.99.0.2", 53))
s.send(query())
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connected_query_from_a_bound_device_does_not_lead_outside() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::EGRESS])
        .prove();
}
