// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon comes, dies, comes back and goes: guarded processes are redirected or refused throughout.

use std::fs;
use std::path::Path;

use enforcer_common::program;
use enforcer_core::model::{AgentName, SessionId};
use enforcer_user::kernel::{self, Error, Kernel, Tier};
use nix::mount::umount;

use enforcer_tests::lab::log;
use enforcer_tests::lab::{AGENT, Lab, SESSION, isolated};

#[test]
#[ignore = "needs root: cargo xtask test"]
fn every_program_loads_and_is_attached() {
    isolated(|| {
        let lab = Lab::new();
        let programs = lab.kernel().programs();
        let names: Vec<_> = programs.iter().map(|state| state.name).collect();
        let hardened = match lab.kernel().tier() {
            Tier::Hardened => program::HARDENED.as_slice(),
            Tier::Kernel { .. } => &[],
        };
        assert_eq!(names, [program::ALL.as_slice(), hardened].concat());
        for state in programs {
            assert!(state.link.is_some() && state.program.is_some(), "{}", state.name);
        }
        assert_eq!(lab.kernel().events_lost().unwrap(), 0);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn when_the_daemon_dies_guarded_connects_are_refused_at_once() {
    isolated(|| {
        let mut lab = Lab::new();
        lab.crash();
        let tcp = "show(outcome(ask, AF_INET, ('10.99.0.2', 80)), outcome(ask, AF_INET6, ('fd99::2', 80)))";
        assert_eq!(lab.guarded(tcp), ["ECONNREFUSED ECONNREFUSED"]);
        let udp =
            "s = socket_(AF_INET, SOCK_DGRAM); show(outcome(s.sendto, b'x', ('10.99.0.2', 443)))";
        assert_eq!(lab.guarded(udp), ["EPERM"]);
        lab.restart();
        assert_eq!(
            lab.guarded("show(ask(AF_INET, ('10.99.0.2', 80)).split()[0])"),
            ["10.99.0.2:80"]
        );
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_restart_takes_over_without_one_unredirected_connect() {
    const RESTARTS: usize = 10;
    isolated(|| {
        let mut lab = Lab::new();
        let before = lab.kernel().programs();
        let mut client = lab.start_guarded(
            r#"
import threading
stop, wrong, count = [], [], [0]
def loop():
    while not stop:
        answer = outcome(ask, AF_INET, ("10.99.0.2", 80))
        count[0] += 1
        if not answer.startswith("10.99.0.2:80 "): wrong.append(answer)
thread = threading.Thread(target=loop); thread.start()
show("ready"); input()
stop.append(1); thread.join()
show(wrong, count[0] > 0)
"#,
        );
        assert_eq!(client.line(), "ready");
        for _ in 0..RESTARTS {
            lab.attach();
        }
        client.go_on();
        assert_eq!(client.finish(), ["[] True"]);
        let after = lab.kernel().programs();
        for (before, after) in before.iter().zip(&after) {
            // The link of a tracepoint or a security hook cannot be updated; a new one is there before the old
            // one goes.
            let is_tracing = ["fork", "mkdir", "exec", "exit"].contains(&before.name)
                || program::HARDENED.contains(&before.name);
            if !is_tracing {
                assert_eq!(before.link, after.link, "the link is the same");
            }
            assert_ne!(before.program, after.program, "the program is a new one");
        }
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn sessions_are_found_again_and_forgotten_on_request() {
    isolated(|| {
        let mut lab = Lab::new();
        let id = lab.session_cgroup_id();
        let expect = (id, SessionId::from_u64(SESSION), AgentName::new(AGENT));
        lab.crash();
        lab.restart();
        assert_eq!(lab.kernel().guarded().unwrap(), [expect]);
        lab.kernel().unguard(id).unwrap();
        lab.kernel().unguard(id).unwrap();
        assert_eq!(lab.kernel().guarded().unwrap(), []);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn detaching_leaves_nothing_and_can_be_repeated() {
    isolated(|| {
        let mut lab = Lab::new();
        let in_force = lab.kernel().programs().len();
        lab.crash();
        let done = kernel::detach(lab.config()).unwrap();
        assert_eq!(done.iter().filter(|line| line.starts_with("detached")).count(), in_force);
        assert!(!lab.config().bpffs.exists());
        assert_eq!(kernel::detach(lab.config()).unwrap(), Vec::<String>::new());
        assert_eq!(kernel::recorded_ports(lab.config()), None);
        assert_eq!(
            lab.guarded("show(outcome(ask, AF_INET, ('10.99.0.2', 80)))"),
            ["ENETUNREACH"],
            "nothing is redirected any more"
        );
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_bpffs_is_mounted_at_the_usual_place_and_left_there_while_others_use_it() {
    isolated(|| {
        let usual = Path::new("/sys/fs/bpf");
        while is_mounted(usual) {
            umount(usual).expect("the host's own is in the way, also in this namespace");
        }
        let lab = Lab::pinned_at(Some(&usual.join("enforcer")));
        assert!(is_mounted(usual));
        fs::create_dir(usual.join("somebody")).unwrap();
        kernel::detach(lab.config()).unwrap();
        assert!(is_mounted(usual) && !lab.config().bpffs.exists());
        fs::remove_dir(usual.join("somebody")).unwrap();
        drop(lab);
        assert!(!is_mounted(usual));
    });
}

fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    mounts.contains(&format!(" {} ", path.display()))
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_refusal_is_in_the_log() {
    isolated(|| {
        let mut lab = Lab::new();
        let script = "s = socket_(AF_INET, SOCK_DGRAM); show(os.getpid()); \
                      show(outcome(s.sendto, b'x', ('10.99.0.2', 4433)))";
        let pid = &lab.guarded(script)[0];
        lab.event();
        let line = format!("refused: hook 2, reason 1, pid {pid}, protocol 17, port 4433");
        lab.poll_until(|| log::has(&line));
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_cannot_be_guarded_is_refused_before_anything_is_changed() {
    isolated(|| {
        let lab = Lab::new();
        let mut config = lab.config().clone();
        config.cgroup = std::env::temp_dir();
        let error = Kernel::attach(&config, lab.ports()).unwrap_err();
        assert!(matches!(error, Error::NotCgroup2 { .. }), "{error}");
        config.cgroup = lab.config().cgroup.join("other");
        fs::create_dir(&config.cgroup).unwrap();
        let error = Kernel::attach(&config, lab.ports()).unwrap_err();
        fs::remove_dir(&config.cgroup).unwrap();
        assert!(matches!(error, Error::OtherCgroup { .. }), "{error}");
    });
}
