// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root enters a network namespace that has a link.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
if USER:
    check(libc.setns(os.open("/proc/self/ns/net", os.O_RDONLY), 0x40000000))
end, start = os.pipe()
child = os.fork()
if child == 0:
    check(libc.unshare(0x40000000))
    os.write(start, b"x")
    signal.pause()
os.read(end, 1)
elsewhere = os.open(f"/proc/{child}/ns/net", os.O_RDONLY)
home = os.open("/proc/self/ns/net", os.O_RDONLY)
sh(f"ip link add elsewhere netns {child} link near type macvlan mode bridge")
os.kill(child, signal.SIGKILL)
os.wait()
check(libc.setns(elsewhere, 0x40000000))
sh("ip link set lo up; ip address add 10.99.0.9/24 dev elsewhere; ip link set elsewhere up")
send(tcp(), V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_entered_namespace_is_no_way_out() {
    Technique::new(Refused(Hook::Connect, Refusal::Namespace), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
