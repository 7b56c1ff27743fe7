// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The zero address of IPv4 through an IPv6 socket.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
send(tcp(AF_INET6), ("::ffff:0.0.0.0", STRANGER))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_mapped_zero_address_is_redirected() {
    Technique::new(Redirected("0.0.0.0:3128"), SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::CONNECT6, program::EGRESS])
        .prove();
}
