// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root makes a cgroup below that of the session.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
below = os.path.join(os.path.dirname(INSIDE), "below") if INSIDE and USER == 0 else ""
if os.fork() == 0:
    if below:
        os.mkdir(below)
        open(below + "/cgroup.procs", "w").write(str(os.getpid()))
    send(tcp(), V4)
    os._exit(0)
os.wait()
while below and os.path.exists(below):
    try:
        os.rmdir(below)
    except OSError as error:
        assert error.errno == errno.EBUSY
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_process_in_a_cgroup_below_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
