// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A service of the host that takes datagrams.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
udp().sendto(MARKER, ("10.99.0.1", STRANGER))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_local_service_for_datagrams_is_not_reached() {
    Technique::new(Refused(Hook::Sendmsg, Refusal::Datagram), SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::SENDMSG4])
        .prove();
}
