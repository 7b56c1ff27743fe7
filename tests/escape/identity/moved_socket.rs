// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Made inside, used outside.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = tcp()
leave()
send(s, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_socket_that_was_made_before_its_process_left_is_held() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::EXEC, program::INGRESS, program::EGRESS])
        .mutated_as_root()
        .prove();
}
