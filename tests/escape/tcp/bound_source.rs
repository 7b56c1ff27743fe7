// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the host's own address to the outside.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
send(tcp(bind=("10.99.0.1", 0)), V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connect_from_a_chosen_source_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
