// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The hardened tier protects itself against a guarded root: our programs and maps, their pins, the daemon.

use std::fs;
use std::path::Path;

use aya::maps::{Array, Map, MapData};
use enforcer_common::{Hardening, Hook, Refusal, map, program};
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use enforcer_tests::lab::child;
use enforcer_tests::lab::{Lab, isolated};

use crate::hardened::{PRELUDE, hardened, is_hardened};

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_guarded_root_cannot_call_bpf() {
    hardened(|mut lab| {
        let pin = lab.pin(map::GUARDED).display().to_string();
        // `BPF_LINK_GET_NEXT_ID` is the first step to detaching a link by its id; `BPF_OBJ_GET` opens a map to write.
        let script = format!(
            r#"{PRELUDE}
attr = ctypes.create_string_buffer(64); path = ctypes.create_string_buffer({pin:?}.encode())
show(outcome(call, 321, 31, attr, 12))
attr = ctypes.create_string_buffer(struct.pack("Q", ctypes.addressof(path)), 64)
show(outcome(lambda: os.close(call(321, 7, attr, 16))))
"#
        );
        assert_eq!(lab.beside(&script), ["0", "None"]);
        assert_eq!(lab.guarded(&script), ["EPERM", "EPERM"]);
        for _ in 0..2 {
            let (hook, refusal, _) = lab.event();
            assert_eq!((hook, refusal), (Hook::Bpf, Refusal::Programs));
        }
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_guarded_root_removes_renames_and_unmounts_no_pins() {
    hardened(|mut lab| {
        let bpffs = lab.config().bpffs.display().to_string();
        let pin = format!("{bpffs}/v{}/links/connect4", enforcer_common::ABI_VERSION);
        let map = format!("{bpffs}/v{}/maps/SETTINGS", enforcer_common::ABI_VERSION);
        let before = lab.kernel().programs();
        for (attempt, hook) in [
            (format!("os.unlink, '{pin}'"), Hook::Unlink),
            (format!("os.unlink, '{map}'"), Hook::Unlink),
            (format!("os.rename, '{pin}', '{pin}x'"), Hook::Unlink),
            (format!("os.rmdir, '{bpffs}/v{}/links'", enforcer_common::ABI_VERSION), Hook::Unlink),
            (format!("call, 166, b'{bpffs}', 0"), Hook::Unmount),
            (format!("call, 166, b'{bpffs}', 2"), Hook::Unmount),
        ] {
            let script = format!("{PRELUDE}show(outcome({attempt}))");
            assert_eq!(lab.guarded(&script), ["EPERM"], "{attempt}");
            let (seen, refusal, _) = lab.event();
            assert_eq!((seen, refusal), (hook, Refusal::Pins), "{attempt}");
        }
        assert_eq!(lab.kernel().programs(), before);
        let elsewhere = "name = '/tmp/enforcer-file-%d' % os.getpid()\n\
                         open(name, 'w').close(); os.rename(name, name + 'x')\n\
                         show(outcome(os.unlink, name + 'x'))";
        assert_eq!(lab.guarded(elsewhere), ["None"]);
    });
}

/// Unmounts, lazily or not, in the namespace that it is in or in one of its own.
fn unmount(own: &str, path: &str, flags: u32) -> String {
    format!(
        r#"{PRELUDE}
libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
{own}
show(outcome(call, 166, b"{path}", {flags}))
"#
    )
}

const OWN_NAMESPACE: &str = "assert libc.unshare(0x20000) == 0";
const OWN_NAMESPACE_APART: &str = "assert libc.unshare(0x20000) == 0\n\
                                   assert libc.mount(None, b'/', None, 0x44000, None) == 0";

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_guarded_root_unmounts_nothing_that_the_pins_are_mounted_below() {
    isolated(|| {
        let above = TempDir::new().unwrap();
        let on = |path: &Path| {
            mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        };
        on(above.path());
        // What goes in a namespace that has a copy of this goes here, too.
        mount(None::<&str>, above.path(), None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
        for folder in ["deep", "other"] {
            fs::create_dir(above.path().join(folder)).unwrap();
            on(&above.path().join(folder));
        }
        fs::create_dir(above.path().join("other/below")).unwrap();
        on(&above.path().join("other/below"));
        let mut lab = Lab::pinned_at(Some(&above.path().join("deep/bpffs")));
        if is_hardened(&lab) {
            let [above, deep, other] =
                ["", "/deep", "/other"].map(|folder| format!("{}{folder}", above.path().display()));
            let before = lab.kernel().programs();
            for (own, path, flags) in [
                ("", &above, libc::MNT_DETACH),
                ("", &deep, libc::MNT_DETACH),
                (OWN_NAMESPACE, &above, libc::MNT_DETACH),
                (OWN_NAMESPACE, &deep, libc::MNT_DETACH),
            ] {
                let script = unmount(own, path, flags.cast_unsigned());
                assert_eq!(lab.guarded(&script), ["EPERM"], "{own} {path}");
                let (seen, refusal, _) = lab.event();
                assert_eq!((seen, refusal), (Hook::Unmount, Refusal::Pins), "{own} {path}");
            }
            assert_eq!(lab.guarded(&unmount("", &deep, 0)), ["EBUSY"]);
            // A container that leaves the host's tree, and what has nothing to do with the pins.
            assert_eq!(lab.guarded(&unmount(OWN_NAMESPACE_APART, &above, 2)), ["0"]);
            assert_eq!(lab.guarded(&unmount("", &other, 2)), ["0"]);
            assert_eq!(lab.kernel().programs(), before);
            assert!(!lab.has_event());

            lab.switch_off(program::SB_UMOUNT);
            assert_eq!(lab.guarded(&unmount(OWN_NAMESPACE, &above, 2)), ["0"]);
            let is_gone = || lab.kernel().programs().iter().all(|program| program.link.is_none());
            assert!(is_gone(), "without the hook it takes the programs along");
        }
        drop(lab);
        // Gone already where the hook was switched off.
        umount2(above.path(), MntFlags::MNT_DETACH).ok();
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_guarded_root_cannot_signal_the_daemon() {
    hardened(|mut lab| {
        let daemon = std::process::id();
        // One that would do no harm.
        let signals = format!(
            "{PRELUDE}for f in (lambda: os.kill({daemon}, 18), lambda: call(234, {daemon}, {daemon}, 18), \
             lambda: call(424, os.pidfd_open({daemon}), 18, None, 0)):\n    show(outcome(f))"
        );
        assert_eq!(child::run(None, &signals), ["None", "0", "0"]);
        assert_eq!(lab.guarded(&signals), ["EPERM"; 3]);
        for _ in 0..3 {
            let (hook, refusal, _) = lab.event();
            assert_eq!((hook, refusal), (Hook::Kill, Refusal::Daemon));
        }
        let asks =
            format!("show(outcome(os.kill, {daemon}, 0), outcome(os.kill, os.getpid(), 18))");
        assert_eq!(lab.guarded(&asks), ["None None"]);
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_guarded_root_has_no_descriptor_signal_the_daemon() {
    hardened(|mut lab| {
        // Another process in the daemon's place: laboratories beside this one protect this process.
        let mut target = lab.start_beside(
            "import signal\nseen = []\nsignal.signal(signal.SIGURG, lambda *_: seen.append(1))\nshow('ready')\n\
             for line in sys.stdin: show('signaled' if seen else 'left alone')",
        );
        assert_eq!(target.line(), "ready");
        let pinned = MapData::from_pin(lab.pin(map::HARDENING)).unwrap();
        let mut hardening = Array::<_, Hardening>::try_from(Map::Array(pinned)).unwrap();
        let known = hardening.get(&0, 0).unwrap();
        hardening.set(0, Hardening { daemon: target.pid(), ..known }, 0).unwrap();
        // The signal of a pipe that becomes readable is for its owner to choose, `SIGKILL` as well.
        let script = format!(
            "import fcntl, signal\nr, w = os.pipe()\nfcntl.fcntl(r, 8, {}); fcntl.fcntl(r, 10, signal.SIGURG)\n\
             fcntl.fcntl(r, 4, 0o20000); show(os.write(w, b'x'))",
            target.pid(),
        );
        assert_eq!(lab.guarded(&script), ["1"]);
        let (hook, refusal, _) = lab.event();
        assert_eq!((hook, refusal), (Hook::Kill, Refusal::Daemon));
        target.go_on();
        assert_eq!(target.line(), "left alone");
        lab.switch_off(program::FILE_SEND_SIGIOTASK);
        assert_eq!(lab.guarded(&script), ["1"]);
        target.go_on();
        assert_eq!(target.line(), "signaled", "without the hook it arrives");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_guarded_root_cannot_limit_the_daemon() {
    hardened(|mut lab| {
        let daemon = std::process::id();
        // The processor time after which the kernel kills, and what would do no harm. Reading is allowed.
        let script = format!(
            "import resource\nfor pid in ({daemon}, 0):\n    for limit in (resource.RLIMIT_CPU, resource.RLIMIT_CORE):\n        \
             now = resource.prlimit(pid, limit)\n        show(outcome(lambda: len(resource.prlimit(pid, limit, now))))"
        );
        assert_eq!(lab.beside(&script), ["2"; 4]);
        assert_eq!(lab.guarded(&script), ["EPERM", "EPERM", "2", "2"]);
        for _ in 0..2 {
            let (hook, refusal, _) = lab.event();
            assert_eq!((hook, refusal), (Hook::Kill, Refusal::Daemon));
        }
    });
}
