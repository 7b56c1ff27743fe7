// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The connection is made after the call has returned.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = tcp()
s.setblocking(False)
s.connect_ex(V4)
select.select([], [s], [], SHORT)
s.sendall(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connect_that_does_not_wait_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
