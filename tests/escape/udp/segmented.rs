// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One buffer, cut into datagrams by the kernel.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET, (IPPROTO_UDP, 103, 16)).sendto(MARKER + MARKER, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_that_the_kernel_cuts_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
