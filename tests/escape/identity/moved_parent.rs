// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The process moves itself first, and then makes a child.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
leave()
if os.fork() == 0:
    send(tcp(), V4)
    os._exit(0)
os.wait()
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_child_of_a_process_that_left_its_cgroup_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::EXEC])
        .mutated_as_root()
        .prove();
}
