// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ordinary way.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
send(tcp(), V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connect_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
