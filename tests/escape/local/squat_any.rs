// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The port of a proxy that is down, on every address.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
s = socket_(AF_INET, SOCK_STREAM)
s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
s.bind(("0.0.0.0", PROXY))
show("escaped")
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn nobody_guarded_takes_the_place_of_the_proxy_on_every_address() {
    Technique::new(Refused(Hook::Bind, Refusal::OwnPort), SCRIPT)
        .gets_out(Way::Says)
        .held_by(&[program::BIND4])
        .after("echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start")
        .while_the_daemon_is_down()
        .prove();
}
