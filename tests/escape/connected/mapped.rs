// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Over an IPv6 socket that is connected to a mapped address; the kernel asks the hook of
//! unconnected datagrams as well.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp(AF_INET6)
s.connect(MAPPED)
s.send(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_a_socket_sends_that_is_connected_to_a_mapped_address_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
