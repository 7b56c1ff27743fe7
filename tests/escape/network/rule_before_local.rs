// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root has a rule of its own asked before that for local addresses.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
sh("""
ip rule add pref 10 lookup local; ip rule add pref 1 to 127.0.0.1 dport 914 lookup 99
ip route add default via 10.99.0.2 dev near table 99; ip rule del pref 0""")
try:
    tcp(AF_INET, NO_COOKIE).sendto(MARKER, FASTOPEN, V4)
finally:
    sh("""
ip rule add pref 0 lookup local; ip rule del pref 1; ip rule del pref 10; ip route flush table 99""")
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_routing_rule_does_not_lead_outside() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
