// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The first process of a process namespace of its own.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
check(libc.unshare(0x30000000))
if os.fork() == 0:
    send(tcp(), V4)
    os._exit(0)
os.wait()
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_process_with_another_number_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
