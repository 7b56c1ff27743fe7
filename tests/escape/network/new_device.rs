// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root makes a second device on the same link.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
sh("""
ip link add second link near type macvlan mode bridge; ip address add 10.99.0.8/24 dev second; ip link set second up
ip neighbor add 127.0.0.1 lladdr 02:00:00:00:00:02 dev second""")
try:
    udp(AF_INET, (SOL_SOCKET, SO_BINDTODEVICE, b"second")).sendto(query(), ("10.99.0.2", 53))
finally:
    sh("""ip link del second""")
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_device_that_is_made_does_not_lead_outside() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
