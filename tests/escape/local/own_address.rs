// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A service at an address of the host that is not loopback, though its packets take the loopback device.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
send(tcp(AF_INET), ("10.99.0.1", STRANGER))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_service_at_an_own_address_is_not_reached() {
    Technique::new(Redirected("10.99.0.1:3128"), SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::CONNECT4, program::EGRESS])
        .prove();
}
