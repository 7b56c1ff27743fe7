// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Each security hook by itself: what it stops is stopped while it is in force, and goes through when it alone is
//! switched off. Without that a test of the hardened tier could be green because of another hook.

use std::os::unix::fs::symlink;
use std::{collections::BTreeSet, fs};

use enforcer_common::program;
use enforcer_user::kernel::Tier;

use enforcer_tests::lab::Lab;

use crate::hardened::{HELPER, PRELUDE, hardened};

/// What a hook stops, and what a guarded root meets with it and without it.
struct Mutation {
    hook: &'static str,
    attempt: String,
    held: &'static str,
    free: &'static str,
}

/// Runs as root beside the session, makes connections and enters the session with them.
const WITH_A_CONNECTION: &str = r#"
listener = socket_(); listener.bind(("127.0.0.1", 0)); listener.listen()
client = socket_(); client.connect(listener.getsockname())
near, far = socketpair(); send_fds(near, [b"f"], [client.fileno()])
open(INSIDE, "w").write(str(os.getpid()))
"#;

/// A Unix socket of the session's own.
const OWN_HELPER: &str = r#"
name = "\0enforcer-own-%d" % os.getpid()
s = socket_(AF_UNIX, SOCK_STREAM); s.bind(name); s.listen()
show(outcome(socket_(AF_UNIX, SOCK_STREAM).connect, name))
"#;

/// Unmounts for itself alone: what the others have mounted stays.
const UNMOUNT: &str = r#"
if libc.unshare(0x20000) < 0: show("no namespace")
show(outcome(call, 166, PINS.encode(), 2))
"#;

fn mutations(lab: &Lab, helper: &str, target: u32) -> Vec<Mutation> {
    let daemon = std::process::id();
    let one = |hook, attempt: &str, held, free| {
        let pins = lab.config().bpffs.display().to_string();
        let inside = lab.session().join("cgroup.procs").display().to_string();
        let attempt = format!("{PRELUDE}PINS = {pins:?}\nINSIDE = {inside:?}\n{attempt}");
        Mutation { hook, attempt, held, free }
    };
    let show = |attempt: &str| format!("show(outcome({attempt}))");
    vec![
        // The other way round: without labels a session does not know its own sockets.
        one(program::SOCKET_POST_CREATE, OWN_HELPER, "None", "EPERM"),
        one(
            program::SOCKET_CREATE,
            &show("lambda: socket_(17, SOCK_RAW).family"),
            "EAFNOSUPPORT",
            "17",
        ),
        one(
            program::SOCKET_SENDMSG,
            &format!("{WITH_A_CONNECTION}{}", show("client.send, b'x'")),
            "EPERM",
            "1",
        ),
        one(
            program::FILE_RECEIVE,
            &format!("{WITH_A_CONNECTION}{}", show("lambda: len(recv_fds(far, 10, 4)[1])")),
            "0",
            "1",
        ),
        one(
            program::UNIX_STREAM_CONNECT,
            &show(&format!("socket_(AF_UNIX, SOCK_STREAM).connect, '\\0enforcer-helper-{helper}'")),
            "EPERM",
            "None",
        ),
        one(
            program::UNIX_MAY_SEND,
            &show(&format!(
                "socket_(AF_UNIX, SOCK_DGRAM).sendto, b'x', '\\0enforcer-helper-{helper}-d'"
            )),
            "EPERM",
            "1",
        ),
        one(program::PTRACE_ACCESS_CHECK, &show(&format!("trace, {target}")), "EPERM", "None"),
        one(
            program::BPF,
            "attr = ctypes.create_string_buffer(64)\nshow(outcome(call, 321, 31, attr, 12))",
            "EPERM",
            "0",
        ),
        one(program::TASK_KILL, &show(&format!("os.kill, {daemon}, 18")), "EPERM", "None"),
        one(
            program::TASK_SETRLIMIT,
            &format!(
                "import resource\nnow = resource.prlimit({daemon}, resource.RLIMIT_CORE)\n{}",
                show(&format!(
                    "lambda: len(resource.prlimit({daemon}, resource.RLIMIT_CORE, now))"
                ))
            ),
            "EPERM",
            "2",
        ),
        one(program::INODE_UNLINK, &show("os.unlink, PINS + '/file'"), "EPERM", "None"),
        one(program::INODE_RMDIR, &show("os.rmdir, PINS + '/folder'"), "EPERM", "None"),
        one(
            program::INODE_RENAME,
            &show("os.rename, PINS + '/old', PINS + '/new'"),
            "EPERM",
            "None",
        ),
        one(program::SB_UMOUNT, UNMOUNT, "EPERM", "0"),
    ]
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn without_one_security_hook_what_it_alone_stops_goes_through() {
    hardened(|mut lab| {
        let mut helper = lab.start_beside(HELPER);
        let name = helper.line();
        let mut target = lab.start_beside("show('ready'); input()");
        assert_eq!(target.line(), "ready");
        let pins = lab.config().bpffs.clone();
        symlink("nowhere", pins.join("file")).unwrap();
        fs::create_dir(pins.join("folder")).unwrap();
        fs::create_dir(pins.join("old")).unwrap();

        let mutations = mutations(&lab, &name, target.pid());
        let mut tried: BTreeSet<_> = mutations.iter().map(|mutation| mutation.hook).collect();
        // The writer is told nothing: `a_guarded_root_has_no_descriptor_signal_the_daemon`.
        tried.insert(program::FILE_SEND_SIGIOTASK);
        assert_eq!(tried, BTreeSet::from(program::HARDENED), "every hook is tried");
        for Mutation { hook, attempt, held, free } in mutations {
            let run = |lab: &Lab| match attempt.contains("open(INSIDE") {
                true => lab.beside(&attempt),
                false => lab.guarded(&attempt),
            };
            assert_eq!(run(&lab), [held], "with `{hook}`");
            lab.switch_off(hook);
            assert_eq!(run(&lab), [free], "without `{hook}`");
            // What is missing is put back in force.
            lab.attach();
            assert_eq!(*lab.kernel().tier(), Tier::Hardened);
            lab.forget_what_came();
        }
        fs::remove_dir(pins.join("new")).unwrap();
        helper.go_on();
        helper.finish();
    });
}
