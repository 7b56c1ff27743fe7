// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The first thread ends, and another one goes on.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
run("thread", os.path.dirname(OUTSIDE))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_thread_that_outlives_the_first_one_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .with_program("steps")
        .held_by(&[program::EXEC])
        .mutated_as_root()
        .prove();
}
