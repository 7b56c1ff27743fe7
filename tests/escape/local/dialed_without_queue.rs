// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A listener whose queue is always full: the kernel answers with a cookie, in a packet that belongs to no socket.

use enforcer_common::{Hook, Refusal, program};
use enforcer_tests::lab::child::Script;
use enforcer_tests::lab::wire::World;

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
s = tcp(AF_INET, (SOL_SOCKET, SO_REUSEADDR, 1), bind=("10.99.0.1", 7000))
s.settimeout(2)
s.listen(0)
show("ready")
input()
try:
    s.accept()
except TimeoutError:
    pass
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_guarded_listener_without_a_queue_cannot_be_dialed() {
    Technique::new(Refused(Hook::Ingress, Refusal::Device), SCRIPT)
        .gets_out(Way::Frame)
        .held_by(&[program::INGRESS])
        .with(companion)
        .prove();
}

fn companion(world: &World, script: &mut Script) {
    assert_eq!(script.line(), "ready");
    world.dial("10.99.0.1:7000");
    world.dial("10.99.0.1:7000");
    script.go_on();
}
