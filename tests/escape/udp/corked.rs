// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Begun for a name server, which is allowed, and ended for another address.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp()
s.sendto(MARKER, 0x8000, ("10.99.0.2", 53))
s.sendto(b"x", V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_datagram_that_is_put_together_goes_where_it_was_begun() {
    Technique::new(Redirected("10.99.0.2:53"), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
