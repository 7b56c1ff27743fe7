// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Made by `vfork`, and another program at once.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
run("vfork", os.path.dirname(OUTSIDE))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_child_that_borrows_the_memory_of_its_parent_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .with_program("steps")
        .held_by(&[program::EXEC])
        .mutated_as_root()
        .prove();
}
