// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An address that means something on one device only, which the socket is bound to by it.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
send(tcp(AF_INET6), ("fe80::99", 8080, 0, device()))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connect_to_a_link_local_address_is_redirected() {
    Technique::new(Redirected("[fe80::99]:8080"), SCRIPT)
        .held_by(&[program::CONNECT6, program::INGRESS, program::EGRESS])
        .prove();
}
