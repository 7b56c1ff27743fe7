// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The child never is in the cgroup of the session.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
run("clone3", os.path.dirname(OUTSIDE))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_child_born_into_another_cgroup_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .with_program("steps")
        .held_by(&[program::FORK])
        .mutated_as_root()
        .prove();
}
