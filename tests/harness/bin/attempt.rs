// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tries ways out of a guarded process, each by its real system call, and says what the kernel answered.
//!
//! `attempt NAME[=WITH] …` prints one JSON object: each name with `ok`, the name of the error, or the signal
//! that ended the attempt. Names below `userns/` are tried inside a user, network and mount namespace made
//! for it. Every attempt runs in a process of its own. It knows nothing of Enforcer.
#![expect(unsafe_code, reason = "system calls that no library makes, by number and by instruction")]
#![expect(clippy::print_stdout, reason = "the answer")]

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::renameat;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::kill;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe, pivot_root};
use serde_json::{Map, Value};

fn main() -> Result<()> {
    let mut answers = Map::new();
    for word in std::env::args().skip(1) {
        answers.insert(word.clone(), Value::from(apart(&word)?));
    }
    println!("{}", Value::Object(answers));
    Ok(())
}

/// Tries it in a child.
fn apart(word: &str) -> Result<String> {
    let (reader, writer) = pipe()?;
    // SAFETY: this program has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(reader);
            let answer = answer(word).unwrap_or_else(|error| format!("{error:#}"));
            fs::File::from(writer).write_all(answer.as_bytes()).ok();
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut answer = String::new();
            fs::File::from(reader).read_to_string(&mut answer)?;
            match waitpid(child, None)? {
                WaitStatus::Signaled(_, signal, _) => Ok(signal.to_string()),
                _ => Ok(answer),
            }
        }
    }
}

fn answer(word: &str) -> Result<String> {
    let word = match word.strip_prefix("userns/") {
        Some(inner) => {
            let all =
                CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
            unshare(all).context("no user namespace")?;
            inner
        }
        None => word,
    };
    let (name, with) = word.split_once('=').unwrap_or((word, ""));
    Ok(match attempt(name, with)? {
        Ok(()) => "ok".to_owned(),
        Err(error) => {
            let errno = error.raw_os_error().map(Errno::from_raw);
            errno.map_or_else(|| error.to_string(), |errno| format!("{errno:?}"))
        }
    })
}

fn attempt(name: &str, with: &str) -> Result<io::Result<()>> {
    let number = || with.parse::<i64>().with_context(|| format!("{name}={with}"));
    Ok(match name {
        // `socket=FAMILY,KIND,PROTOCOL`
        "socket" => {
            let numbers: Result<Vec<i64>, _> = with.split(',').map(str::parse).collect();
            let numbers = numbers.with_context(|| format!("{name}={with}"))?;
            let [family, kind, protocol] = numbers.as_slice() else { bail!("{name}={with}") };
            call(libc::SYS_socket, [*family, *kind, *protocol, 0, 0, 0])
        }
        // Of another process: `NAME=PID`.
        "pidfd_getfd" => pidfd_getfd(number()?),
        "ptrace" => call(libc::SYS_ptrace, [i64::from(libc::PTRACE_SEIZE), number()?, 0, 0, 0, 0]),
        "read_memory" => process_vm(libc::SYS_process_vm_readv, number()?),
        "write_memory" => process_vm(libc::SYS_process_vm_writev, number()?),
        "open_memory" => open(&format!("/proc/{with}/mem"), true),
        "signal" => kill(Pid::from_raw(i32::try_from(number()?)?), None).map_err(io::Error::from),
        "root_of" => fs::read_dir(format!("/proc/{with}/root/")).map(drop),
        // Of the kernel.
        "bpf" => {
            let mut attribute = [0_u64; 16];
            // BPF_PROG_GET_NEXT_ID
            call(libc::SYS_bpf, [11, address(&mut attribute), 128, 0, 0, 0])
        }
        "perf_event_open" => {
            let mut attribute = [0_u64; 16];
            // `type` PERF_TYPE_SOFTWARE and `size` 128.
            attribute[0] = 1 | (128 << 32);
            call(libc::SYS_perf_event_open, [address(&mut attribute), 0, -1, -1, 0, 0])
        }
        "finit_module" => call(libc::SYS_finit_module, [-1, 0, 0, 0, 0, 0]),
        "kexec_file_load" => call(libc::SYS_kexec_file_load, [-1, -1, 0, 0, 0, 0]),
        "open_by_handle_at" => call(libc::SYS_open_by_handle_at, [-1, 0, 0, 0, 0, 0]),
        // KEYCTL_GET_KEYRING_ID of the thread's keyring.
        "keyctl" => call(libc::SYS_keyctl, [0, -1, 1, 0, 0, 0]),
        "io_uring_setup" => {
            let mut parameters = [0_u64; 15];
            call(libc::SYS_io_uring_setup, [4, address(&mut parameters), 0, 0, 0, 0])
        }
        "type_into_terminal" => {
            let letter = b"x";
            let command = i64::try_from(libc::TIOCSTI)?;
            call(libc::SYS_ioctl, [0, command, letter.as_ptr().addr().try_into()?, 0, 0, 0])
        }
        "i386_socket" => i386_socket(number()?)?,
        "x32_socket" => x32_socket(number()?),
        // Of file systems.
        "open" => open(with, false),
        "write" => open(with, true),
        "enter_cgroup" => fs::write(format!("{with}/cgroup.procs"), std::process::id().to_string()),
        "mount" => unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| mount(Some("x"), with, Some("tmpfs"), MsFlags::empty(), None::<&str>))
            .map_err(io::Error::from),
        "mount_proc" => {
            unshare(CloneFlags::CLONE_NEWPID)?;
            mount_proc(with)?
        }
        "make_writable" => {
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
            mount(None::<&str>, with, None::<&str>, flags, None::<&str>).map_err(io::Error::from)
        }
        "unmount" => umount2(with, MntFlags::MNT_DETACH).map_err(io::Error::from),
        "listed" => fs::read_dir(with).and_then(|mut entries| {
            entries.next().map(drop).ok_or_else(|| io::Error::from(Errno::ENOENT))
        }),
        // Of names: two paths with a comma between them. What went through is undone.
        "rename" => renamed(with, 0)?,
        "exchange" => renamed(with, libc::RENAME_EXCHANGE)?,
        "replace" => {
            let (from, to) = pair(with)?;
            fs::rename(from, to)
        }
        "link" => {
            let (from, to) = pair(with)?;
            fs::hard_link(from, to).and_then(|()| fs::remove_file(to))
        }
        "remove" => fs::remove_file(with),
        "make" => fs::create_dir(with).and_then(|()| fs::remove_dir(with)),
        "rename_left_behind" => rename_left_behind(with)?,
        "unshare_network" => unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from),
        // Of helpers.
        "abstract_socket" => {
            let to = SocketAddr::from_abstract_name(with)?;
            UnixStream::connect_addr(&to).map(drop)
        }
        // `descriptor=FD`: is it open?
        "descriptor" => call(libc::SYS_fcntl, [number()?, i64::from(libc::F_GETFD), 0, 0, 0, 0]),
        _ => bail!("no such attempt"),
    })
}

fn pair(with: &str) -> Result<(&str, &str)> {
    with.split_once(',').with_context(|| format!("`{with}` is not a pair"))
}

fn rename(from: &CString, to: &CString, flags: libc::c_uint) -> io::Result<()> {
    let at = i64::from(libc::AT_FDCWD);
    let [from, to] = [from, to].map(|path| i64::try_from(path.as_ptr().addr()).unwrap_or_default());
    call(libc::SYS_renameat2, [at, from, at, to, flags.into(), 0])
}

fn renamed(with: &str, flags: libc::c_uint) -> Result<io::Result<()>> {
    let (from, to) = pair(with)?;
    let (from, to) = (CString::new(from)?, CString::new(to)?);
    Ok(rename(&from, &to, flags).and_then(|()| rename(&to, &from, flags)))
}

/// `FOLDER,NAME,TO,ROOT`: keeps a folder open, moves to the other root, unmounts the old one with every mount in
/// it, and renames what is in the folder.
fn rename_left_behind(with: &str) -> Result<io::Result<()>> {
    let words: Vec<&str> = with.split(',').collect();
    let [folder, name, to, root] = words.as_slice() else { bail!("`{with}`") };
    let kept = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(folder)?;
    let left = || {
        mount(Some(*root), *root, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        pivot_root(*root, format!("{root}/old").as_str())?;
        std::env::set_current_dir("/").map_err(|_gone| Errno::ENOENT)?;
        umount2("/old", MntFlags::MNT_DETACH)?;
        renameat(&kept, *name, &kept, *to)?;
        renameat(&kept, *to, &kept, *name)
    };
    Ok(left().map_err(io::Error::from))
}

/// A new process has to live in the new process namespace for a procfs of it.
fn mount_proc(on: &str) -> Result<io::Result<()>> {
    // SAFETY: this program has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let done = mount(Some("proc"), on, Some("proc"), MsFlags::empty(), None::<&str>);
            let code = done.map_or_else(|errno| errno as i32, |()| 0);
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, 0) => Ok(Ok(())),
            WaitStatus::Exited(_, code) => Ok(Err(io::Error::from_raw_os_error(code))),
            other => bail!("{other:?}"),
        },
    }
}

fn open(path: &str, is_for_writing: bool) -> io::Result<()> {
    OpenOptions::new().read(!is_for_writing).write(is_for_writing).open(path).map(drop)
}

fn address<T>(value: &mut T) -> i64 {
    i64::try_from(std::ptr::from_mut(value).addr()).unwrap_or_default()
}

fn call(number: libc::c_long, with: [i64; 6]) -> io::Result<()> {
    let [a, b, c, d, e, f] = with;
    // SAFETY: pointers among the arguments are to values of the caller that live until this returns.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes stdin of a process.
fn pidfd_getfd(pid: i64) -> io::Result<()> {
    // SAFETY: the call has no pointers.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if pidfd < 0 {
        return Err(io::Error::last_os_error());
    }
    call(libc::SYS_pidfd_getfd, [pidfd, 0, 0, 0, 0, 0])
}

/// Reads or writes at an address that is nobody's: a process that may do it gets `EFAULT`.
fn process_vm(number: libc::c_long, pid: i64) -> io::Result<()> {
    let mut byte = 0_u8;
    let mut local = [address(&mut byte), 1];
    let mut remote = [8_i64, 1];
    match call(number, [pid, address(&mut local), 1, address(&mut remote), 1, 0]) {
        Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Ok(()),
        other => other,
    }
}

/// socket(2) as a program of 32 bits calls it.
#[cfg(target_arch = "x86_64")]
fn i386_socket(family: i64) -> Result<io::Result<()>> {
    let result: i64;
    // SAFETY: call 359 of i386 is socket(2); it has no pointers. `rbx` belongs to the compiler, so it is
    // put back.
    unsafe {
        std::arch::asm!(
            "xchg {first}, rbx",
            "int 0x80",
            "xchg {first}, rbx",
            first = inout(reg) family => _,
            inout("rax") 359_i64 => result,
            in("rcx") i64::from(libc::SOCK_DGRAM),
            in("rdx") 0_i64,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // The result has 32 bits.
    #[expect(clippy::cast_possible_truncation, reason = "the upper half means nothing here")]
    let result = result as i32;
    Ok(if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) })
}

#[cfg(not(target_arch = "x86_64"))]
fn i386_socket(_family: i64) -> Result<io::Result<()>> {
    bail!("no such instruction here")
}

/// socket(2) by its number in the x32 ABI.
fn x32_socket(family: i64) -> io::Result<()> {
    const X32_BIT: libc::c_long = 0x4000_0000;
    call(libc::SYS_socket | X32_BIT, [family, i64::from(libc::SOCK_DGRAM), 0, 0, 0, 0])
}
