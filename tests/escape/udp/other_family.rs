// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An IPv6 socket that becomes one of IPv4 after it was connected to a name server.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp(AF_INET6, bind=("::ffff:10.99.0.1", 0))
s.connect(("::ffff:10.99.0.2", 53))
s.setsockopt(IPPROTO_IPV6, 1, AF_INET)
check(libc.sendto(s.fileno(), MARKER, 15, 0, name4(V4), 16))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_of_a_socket_that_changed_its_family_is_refused() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
