// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A resolver of the host, which would ask the outside.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
udp().sendto(query(), ("127.0.0.53", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_local_stub_resolver_is_not_reached() {
    Technique::new(Redirected("127.0.0.53:53"), SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::SENDMSG4])
        .prove();
}
