// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root moves itself into another cgroup.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
leave()
send(tcp(), V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_process_that_left_its_cgroup_stays_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::EXEC])
        .mutated_as_root()
        .prove();
}
