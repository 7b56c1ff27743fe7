// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same through an IPv6 socket.

use enforcer_common::program;

use crate::technique::Outcome::Harmless;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
own = tcp(bind=("127.0.0.1", 3129))
own.listen()
send(tcp(AF_INET6, bind=("::ffff:127.0.0.5", 0)), ("::ffff:0.0.0.0", 3129))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_mapped_zero_address_leads_only_where_it_was_judged_to_lead() {
    Technique::new(Harmless, SCRIPT)
        .gets_out(Way::Stranger)
        .held_by(&[program::CONNECT6, program::EGRESS])
        .prove();
}
