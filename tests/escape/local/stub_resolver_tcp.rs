// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same over TCP.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
send(tcp(), ("127.0.0.53", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_local_stub_resolver_is_not_reached_over_tcp() {
    Technique::new(Redirected("127.0.0.53:53"), SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::CONNECT4, program::EGRESS])
        .prove();
}
