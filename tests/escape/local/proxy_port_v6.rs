// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The port of the proxy over IPv6.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
send(tcp(AF_INET6), ("::1", PROXY))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_proxy_cannot_be_named_over_ipv6() {
    Technique::new(Refused(Hook::Connect, Refusal::OwnPort), SCRIPT)
        .gets_out(Way::NoOrigin)
        .held_by(&[program::CONNECT6, program::EGRESS])
        .prove();
}
