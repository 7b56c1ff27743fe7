// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An option that is set by an entry. A thread of the kernel does the work.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
leave()
run("join", 1)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn joining_a_group_by_a_ring_is_refused_that_the_kernel_polls() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .with_program("ring")
        .held_by(&[program::SETSOCKOPT])
        // EOPNOTSUPP: before 6.7 a ring has no socket options.
        .or_absent(&["-95"])
        .gets_out(Way::Frame)
        .prove();
}
