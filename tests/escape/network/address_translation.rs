// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root has the redirected connection translated on its way.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
sh("""
nft 'table ip escape { chain out { type nat hook output priority -100; tcp dport 914 dnat to 10.99.0.2:8080; }; }' """)
try:
    send(tcp(bind=("10.99.0.1", 0)), V4)
finally:
    sh("""nft delete table ip escape""")
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn address_translation_does_not_lead_outside() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::INGRESS, program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
