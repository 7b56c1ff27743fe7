// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root lets the loopback address lead to a device.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
sh("""
ip route del local 127.0.0.1 table local; ip route add 127.0.0.1 via 10.99.0.2 dev near table local""")
try:
    tcp(AF_INET, NO_COOKIE).sendto(MARKER, FASTOPEN, V4)
finally:
    sh("""
ip route del 127.0.0.1 table local; ip route add local 127.0.0.1 dev lo src 127.0.0.1 table local""")
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_route_for_loopback_does_not_lead_outside() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
