// SPDX-License-Identifier: Apache-2.0 OR MIT
//! By `sendmsg`.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp().sendmsg([MARKER], [], 0, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_by_sendmsg_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
