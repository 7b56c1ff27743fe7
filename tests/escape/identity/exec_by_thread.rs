// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A second thread becomes another program, and the first one goes.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
run("exec", os.path.dirname(OUTSIDE))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_program_that_a_thread_became_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .with_program("steps")
        .held_by(&[program::EXEC])
        .mutated_as_root()
        .prove();
}
