// SPDX-License-Identifier: Apache-2.0 OR MIT
//! With control data; the kernel asks the hook of unconnected datagrams as well.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp()
s.connect(V4)
s.sendmsg([MARKER], [(IPPROTO_IP, IP_TOS, struct.pack("i", 8))])
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connected_datagram_with_control_data_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
