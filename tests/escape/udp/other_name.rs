// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An IPv6 socket that is given an IPv4 address.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp(AF_INET6)
check(libc.sendto(s.fileno(), MARKER, 15, 0, name4(V4), 16))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_to_an_ipv4_name_on_an_ipv6_socket_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
