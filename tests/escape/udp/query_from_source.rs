// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the host's own address.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(bind=("10.99.0.1", 0)).sendto(query(), ("10.99.0.2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_query_from_a_chosen_source_is_redirected() {
    Technique::new(Redirected("10.99.0.2:53"), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
