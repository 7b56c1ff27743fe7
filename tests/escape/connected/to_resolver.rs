// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A socket that is connected to another address first, and then to the resolver's own port.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
s = udp()
s.settimeout(SHORT)
s.connect(V4)
s.connect(("127.0.0.1", RESOLVER))
s.send(query())
s.recv(1)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_resolver_cannot_be_named_after_another_connect() {
    Technique::new(Refused(Hook::Connect, Refusal::OwnPort), SCRIPT)
        .gets_out(Way::NoOrigin)
        .held_by(&[program::CONNECT4])
        .prove();
}
