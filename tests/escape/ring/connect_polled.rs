// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A connect that is an entry of a ring. A thread of the kernel does the work.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
leave()
run("connect", 1)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connect_by_a_ring_is_redirected_that_the_kernel_polls() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .with_program("ring")
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
