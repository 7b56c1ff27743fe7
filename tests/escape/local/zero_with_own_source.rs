// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same from an address that is not loopback.

use enforcer_common::program;

use crate::technique::Outcome::Harmless;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
own = tcp(bind=("127.0.0.1", 3129))
own.listen()
send(tcp(bind=("10.99.0.1", 0)), ("0.0.0.0", 3129))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_zero_address_leads_to_no_address_of_the_host() {
    Technique::new(Harmless, SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::CONNECT4, program::EGRESS])
        .prove();
}
