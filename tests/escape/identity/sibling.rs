// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Its parent is the parent of the agent.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
run("parent", os.path.dirname(OUTSIDE))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_child_that_is_made_a_sibling_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .with_program("steps")
        .held_by(&[program::EXEC, program::FORK])
        .mutated_as_root()
        .prove();
}
