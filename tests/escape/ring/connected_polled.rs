// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A datagram over a connected socket, both as entries, submitted by a thread of the kernel.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
leave()
run("connected", 1)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connected_datagram_by_a_ring_is_dropped_that_the_kernel_polls() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .with_program("ring")
        .held_by(&[program::EGRESS])
        .prove();
}
