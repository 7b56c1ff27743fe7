// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same over IPv6.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET6).sendto(MARKER, V6)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_ipv6_datagram_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG6, program::EGRESS])
        .prove();
}
