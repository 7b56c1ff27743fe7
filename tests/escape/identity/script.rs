// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A script in memory, whose interpreter is the program.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r##"
file = os.memfd_create("x", 0)
os.write(file, f"#!{PROGRAM} out\n".encode())
leave()
os.execv(f"/proc/self/fd/{file}", ["x"])
"##;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_program_that_an_interpreter_runs_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .with_program("steps")
        .held_by(&[program::EXEC])
        .mutated_as_root()
        .prove();
}
