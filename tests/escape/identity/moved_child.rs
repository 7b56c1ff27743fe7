// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The child of a guarded process moves itself.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
if os.fork() == 0:
    leave()
    send(tcp(), V4)
    os._exit(0)
os.wait()
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_child_that_left_its_cgroup_stays_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::EXEC, program::FORK])
        .mutated_as_root()
        .prove();
}
