// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Made outside, used inside.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp()
enter()
s.sendto(MARKER, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_socket_that_was_made_before_its_process_was_guarded_is_held() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .where_hardened(Refused(Hook::SocketSend, Refusal::ForeignSocket))
        .held_by(&[program::SENDMSG4])
        .starting_outside()
        .prove();
}
