// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel sends pages of the process.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = tcp(AF_INET, (SOL_SOCKET, 60, 1))
s.connect(V4)
s.send(MARKER, 0x4000000)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn data_that_is_not_copied_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
