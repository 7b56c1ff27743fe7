// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A forward proxy on loopback that somebody else runs.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
send(tcp(AF_INET), ("127.0.0.1", STRANGER))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_local_forward_proxy_is_not_reached() {
    Technique::new(Redirected("127.0.0.1:3128"), SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::CONNECT4, program::EGRESS])
        .prove();
}
