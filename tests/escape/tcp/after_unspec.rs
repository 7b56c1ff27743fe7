// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Disconnected by an address of no family, then connected anew.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = tcp()
s.connect(V4)
check(libc.connect(s.fileno(), bytes(16), 16))
send(s, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_socket_that_was_disconnected_is_redirected_again() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
