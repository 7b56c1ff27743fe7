// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The connection is redirected first; then its packets are sent to a device, and the kernel's own resets with them.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = tcp(bind=("10.99.0.1", 0))
s.connect(V4)
s.setsockopt(*BOUND)
s.sendall(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_device_that_is_bound_after_the_connect_does_not_lead_outside() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        // In this order: the backstop alone does not see the resets.
        .held_by(&[program::EGRESS, program::SETSOCKOPT])
        .prove();
}
