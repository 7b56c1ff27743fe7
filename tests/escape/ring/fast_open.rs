// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The data is in the SYN, by an entry.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
leave()
run("fastopen", 0)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn data_in_the_first_packet_by_a_ring_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .with_program("ring")
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
