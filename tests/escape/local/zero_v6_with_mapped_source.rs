// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The zero address of IPv6 means 127.0.0.1 for a socket with a mapped source: a listener of one's own at `::1`
//! must not open the way to somebody else's there.

use enforcer_common::program;

use crate::technique::Outcome::Harmless;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
own = tcp(AF_INET6, bind=("::1", 3127))
own.listen()
send(tcp(AF_INET6, bind=("::ffff:127.0.0.1", 0)), ("::", 3127))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_ipv6_zero_address_does_not_lead_to_ipv4() {
    Technique::new(Harmless, SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::CONNECT6, program::EGRESS])
        .prove();
}
