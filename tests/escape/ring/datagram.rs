// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A datagram by an entry.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
leave()
run("datagram", 0)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_by_a_ring_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .with_program("ring")
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
