// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A network namespace of the agent's own, to which somebody outside gives a link.

use enforcer_common::{Hook, Refusal, program};
use enforcer_tests::lab::child::Script;
use enforcer_tests::lab::ip;
use enforcer_tests::lab::wire::World;

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
libc.prctl(4, 1, 0, 0, 0)
check(libc.unshare(0x50000000 if USER else 0x40000000))
if USER:
    open("/proc/self/uid_map", "w").write(f"0 {USER} 1")
show(os.getpid())
input()
sh("ip link set lo up; ip address add 10.99.0.9/24 dev elsewhere; ip link set elsewhere up")
send(tcp(), V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_namespace_with_a_link_is_no_way_out() {
    Technique::new(Refused(Hook::Connect, Refusal::Namespace), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .with(companion)
        .prove();
}

fn companion(_: &World, script: &mut Script) {
    let pid = script.line();
    ip(&format!("link add elsewhere netns {pid} link near type macvlan mode bridge"));
    script.go_on();
}
