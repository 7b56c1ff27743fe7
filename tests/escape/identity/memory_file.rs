// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A program that is in no file system.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
file = os.memfd_create("x", 0)
os.write(file, open(PROGRAM, "rb").read())
leave()
os.execv(f"/proc/self/fd/{file}", ["x", "out"])
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_program_without_a_file_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .with_program("steps")
        .held_by(&[program::EXEC])
        .mutated_as_root()
        .prove();
}
