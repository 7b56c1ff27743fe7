// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bound to an address of somebody outside, which IPv6 lets anybody do. Redirected, the proxy would answer there:
//! the address and the port that it answers are for the agent to choose.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
send(tcp(AF_INET6, (IPPROTO_IPV6, 78, 1), bind=("fd99::2", 5555)), V6)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_foreign_source_address_does_not_make_the_proxy_answer_the_outside() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .gets_out(Way::Frame)
        .held_by(&[program::SETSOCKOPT])
        .prove();
}
