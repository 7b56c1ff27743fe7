// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A query from an address of somebody outside, which IPv6 lets anybody do. The resolver would answer there, and
//! an answer has the question in it.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
udp(AF_INET6, (IPPROTO_IPV6, 78, 1), bind=("fd99::2", 5555)).sendto(query(), ("fd99::2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_foreign_source_address_does_not_make_the_resolver_answer_the_outside() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .gets_out(Way::Frame)
        .held_by(&[program::SETSOCKOPT])
        .prove();
}
