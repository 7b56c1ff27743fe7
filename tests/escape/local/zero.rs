// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The zero address, which the kernel takes for loopback.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
send(tcp(AF_INET), ("0.0.0.0", STRANGER))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_zero_address_is_redirected() {
    Technique::new(Redirected("0.0.0.0:3128"), SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::CONNECT4, program::EGRESS])
        .prove();
}
