// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same over IPv6.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
send(tcp(AF_INET6), ("fd99::1", STRANGER))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_service_at_an_own_ipv6_address_is_not_reached() {
    Technique::new(Redirected("[fd99::1]:3128"), SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::CONNECT6, program::EGRESS])
        .prove();
}
