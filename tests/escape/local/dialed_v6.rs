// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A listener on every address that is dialed from outside, over IPv6.

use enforcer_common::{Hook, Refusal, program};
use enforcer_tests::lab::child::Script;
use enforcer_tests::lab::wire::World;

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
s = tcp(AF_INET6, (SOL_SOCKET, SO_REUSEADDR, 1), bind=("::", 7000))
s.listen()
show("ready")
input()
try:
    s.accept()
except TimeoutError:
    pass
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_guarded_ipv6_listener_cannot_be_dialed() {
    Technique::new(Refused(Hook::Ingress, Refusal::Device), SCRIPT)
        .gets_out(Way::Frame)
        // In this order: before 6.6 the backstop does not see the answer to a SYN over IPv6.
        .held_by(&[program::EGRESS, program::INGRESS])
        .with(companion)
        .prove();
}

fn companion(world: &World, script: &mut Script) {
    assert_eq!(script.line(), "ready");
    world.dial("[fd99::1]:7000");
    script.go_on();
}
