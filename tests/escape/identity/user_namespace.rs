// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root in a user namespace of its own.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
check(libc.unshare(0x10000000))
send(tcp(), V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_process_in_a_user_namespace_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
