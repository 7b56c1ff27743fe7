// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel moves a pipe into the socket.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
end, start = os.pipe()
os.write(start, MARKER)
s = tcp()
s.connect(V4)
os.splice(end, s.fileno(), len(MARKER))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_pipe_that_is_spliced_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
