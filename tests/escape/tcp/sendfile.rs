// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel sends a file by itself.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
file = os.memfd_create("x")
os.write(file, MARKER)
s = tcp()
s.connect(V4)
os.sendfile(s.fileno(), file, 0, len(MARKER))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_file_that_is_sent_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
