// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A listener of one's own beside somebody else's on the same port, where its owner lets others of the same user
//! share it: the kernel spreads connects over both.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
own = [tcp(AF_INET, (SOL_SOCKET, SO_REUSEPORT, 1), bind=("0.0.0.0", 3126)) for _ in range(7)]
for s in own:
    s.listen(100)
for i in range(1, 200):
    with tcp() as s:
        s.connect((f"127.0.0.{i}", 3126))
        s.sendall(MARKER)
"#;

const HELPER: &str = r#"
s = tcp(AF_INET, (SOL_SOCKET, SO_REUSEPORT, 1), bind=("0.0.0.0", 3126))
s.listen(100)
s.settimeout(None)
show("ready")
while True:
    with s.accept()[0] as peer, tcp() as onward:
        if text := peer.recv(100):
            send(onward, ("10.99.0.1", STRANGER), text)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_port_that_is_shared_does_not_lead_to_a_stranger() {
    Technique::new(Refused(Hook::Egress, Refusal::Stranger), SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::EGRESS])
        .with_helper(HELPER)
        .prove();
}
