// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root has the kernel wrap what goes to `::1`.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
sh("""
ip -6 route del local ::1 table local
ip -6 route add ::1 encap seg6 mode inline segs fd99::2 dev near table local""")
try:
    tcp(AF_INET6, NO_COOKIE).sendto(MARKER, FASTOPEN, V6)
finally:
    sh("""
ip -6 route del ::1 table local; ip -6 route add local ::1 dev lo table local""")
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_route_with_segments_does_not_lead_outside() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
