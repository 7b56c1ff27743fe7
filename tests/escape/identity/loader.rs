// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program that the kernel sees is the loader.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
import glob
loader = glob.glob("/lib64/ld-linux*")[0]
leave()
os.execv(loader, [loader, PROGRAM, "out"])
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_program_that_the_loader_runs_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .with_program("steps")
        .held_by(&[program::EXEC])
        .mutated_as_root()
        .prove();
}
