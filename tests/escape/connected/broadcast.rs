// SPDX-License-Identifier: Apache-2.0 OR MIT
//! To the broadcast address of the link; the copy that the kernel delivers to a service of this
//! host belongs to no socket.

use enforcer_common::program;

use crate::technique::Outcome::Harmless;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
s = udp(AF_INET, (SOL_SOCKET, SO_BROADCAST, 1))
try:
    s.connect(("10.99.0.255", 8080))
except PermissionError:
    return
outcome(s.send, MARKER)
peer = meet()
if MARKER in peer.recv(99):
    show("escaped")
"#;

const HELPER: &str = r#"
s = udp(AF_INET, bind=("10.99.0.255", 8080))
s.settimeout(SHORT)
report(s, met())
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn nobody_guarded_connects_to_everybody() {
    Technique::new(Harmless, SCRIPT)
        .gets_out(Way::Says)
        .hardened_by(&[program::UNIX_STREAM_CONNECT])
        .held_by(&[program::SETSOCKOPT])
        .with_helper(HELPER)
        .prove();
}
