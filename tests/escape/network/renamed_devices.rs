// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root gives the outer device the name of the loopback device.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
sh("""
ip link set lo down; ip link set lo name inner; ip link set inner up
ip link set near down; ip link set near name lo; ip link set lo up
ip neighbor replace 127.0.0.1 lladdr 02:00:00:00:00:02 dev lo""")
try:
    udp(AF_INET, (SOL_SOCKET, SO_BINDTODEVICE, b"lo")).sendto(query(), ("10.99.0.2", 53))
finally:
    sh("""
ip link set lo down; ip link set lo name near; ip link set near up
ip link set inner down; ip link set inner name lo; ip link set lo up""")
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn devices_that_change_their_names_are_told_apart() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
