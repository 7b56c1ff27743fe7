// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The filter on system calls (seccomp(2)): what no program in the kernel sees, refused at the door.
//!
//! Each answer is a filter of its own, and the kernel takes the strictest. Calls of another architecture
//! (on x86-64 those of i386, by `int 0x80`) end the process; those of the x32 ABI are unknown to the
//! kernel. What makes user namespaces stays: browsers and build tools need it, and inside one the same
//! filter holds.

use std::collections::BTreeMap;
use std::path::Path;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::Error;

const STEP: &str = "make the filter on system calls";

/// Where the kernel says what filters can answer; absent without `CONFIG_SECCOMP_FILTER`.
const ACTIONS: &str = "/proc/sys/kernel/seccomp/actions_avail";

/// Families of sockets that pass. The programs in the kernel judge the internet's; the others stay on the
/// host. An allow-list: packet, XDP, vsock, TIPC, Bluetooth, ALG and what is yet to come are not on it.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Calls that reach into other processes, into the kernel, or past what the programs see.
const REFUSED: &[libc::c_long] = &[
    // Other processes: their memory, registers, descriptors.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // The programs, their links and maps; and what watches the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_syslog,
    // Another kernel, or code inside it.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    // Files by handle pass by every mount; keys have the kernel start a helper as root.
    libc::SYS_open_by_handle_at,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The way to write into kernel races; nothing of an agent needs it without privileges.
    libc::SYS_userfaultfd,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_kexec_file_load,
];

/// Rings run socket(2), connect(2) and openat(2) without making a system call that a filter sees.
/// Programs fall back when the kernel seems not to know them.
const UNKNOWN: &[libc::c_long] =
    &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// ioctl(2) commands that type into the terminal, and so into the shell that waits outside.
const TERMINAL_INPUT: [u64; 2] = [TIOCSTI, TIOCLINUX];
/// As if it had been typed; `asm-generic/ioctls.h`.
const TIOCSTI: u64 = 0x5412;
/// Paste of the console's selection; the same file.
const TIOCLINUX: u64 = 0x541C;

/// Bit of the system call's number that chooses the x32 ABI; `asm/unistd.h`.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

/// True if the kernel can filter.
pub(super) fn is_there() -> bool {
    Path::new(ACTIONS).exists()
}

/// Holds this thread, and so the command, to the filter.
pub(super) fn hold() -> Result<(), Error> {
    for program in programs()? {
        let applied = seccompiler::apply_filter(&program);
        applied.map_err(|error| Error::step("install the filter on system calls", error))?;
    }
    Ok(())
}

/// All filters, in the order in which they are installed.
fn programs() -> Result<Vec<BpfProgram>, Error> {
    let unconditional = |calls: &[libc::c_long]| {
        calls.iter().map(|call| (number(*call), Vec::new())).collect::<Rules>()
    };
    let mut refused = unconditional(REFUSED);
    refused.insert(number(libc::SYS_ioctl), terminal_input()?);
    let families = [libc::SYS_socket, libc::SYS_socketpair];
    let families: Result<Rules, Error> =
        families.iter().map(|call| Ok((number(*call), vec![another_family()?]))).collect();
    let compiled = [
        compile(families?, libc::EAFNOSUPPORT)?,
        compile(refused, libc::EPERM)?,
        compile(unconditional(UNKNOWN), libc::ENOSYS)?,
    ];
    Ok(other_abi(libc::ENOSYS).into_iter().chain(compiled).collect())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn number(call: libc::c_long) -> i64 {
    // The type has 32 bits on some targets.
    #[expect(clippy::useless_conversion, reason = "`c_long` is `i64` only on 64-bit targets")]
    i64::from(call)
}

fn compile(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, Error> {
    let failed = |error| Error::step(STEP, error);
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(failed)?;
    let answer = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).map_err(failed)?;
    BpfProgram::try_from(filter).map_err(failed)
}

/// The first argument is none of the families that pass. The kernel reads 32 bits of it.
fn another_family() -> Result<SeccompRule, Error> {
    let differs = |family: &libc::c_int| {
        let family = u64::from(family.unsigned_abs());
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
    };
    let conditions: Result<Vec<_>, _> = FAMILIES.iter().map(differs).collect();
    SeccompRule::new(conditions.map_err(|error| Error::step(STEP, error))?)
        .map_err(|error| Error::step(STEP, error))
}

fn terminal_input() -> Result<Vec<SeccompRule>, Error> {
    let rule = |command: u64| {
        let is_it = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, command)?;
        SeccompRule::new(vec![is_it])
    };
    let rules: Result<Vec<_>, _> = TERMINAL_INPUT.into_iter().map(rule).collect();
    rules.map_err(|error| Error::step(STEP, error))
}

/// x32 shares the architecture with x86-64 and has numbers of its own, which the lists do not name.
#[cfg(target_arch = "x86_64")]
fn other_abi(errno: libc::c_int) -> Option<BpfProgram> {
    use libc::{BPF_ABS, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
    let errno = errno.unsigned_abs();
    // The number of the call is the first word of `struct seccomp_data`.
    Some(vec![
        instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0),
        instruction(BPF_JMP | BPF_JGE | BPF_K, 1, X32_BIT),
        instruction(BPF_RET | BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        instruction(BPF_RET | BPF_K, 0, libc::SECCOMP_RET_ERRNO | errno),
    ])
}

#[cfg(not(target_arch = "x86_64"))]
const fn other_abi(_errno: libc::c_int) -> Option<BpfProgram> {
    None
}

/// One instruction of classic BPF; `taken` is how many are skipped when its condition holds.
#[cfg(target_arch = "x86_64")]
fn instruction(code: u32, taken: u8, k: u32) -> seccompiler::sock_filter {
    seccompiler::sock_filter { code: u16::try_from(code).unwrap_or(u16::MAX), jt: taken, jf: 0, k }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "system calls by number")]
mod tests {
    use std::io;
    use std::thread;

    use super::*;

    /// What a call with these arguments gives on a thread that is held to the filters.
    fn held(filters: Vec<BpfProgram>, call: libc::c_long, with: [i64; 3]) -> Option<i32> {
        let work = move || {
            for filter in filters {
                seccompiler::apply_filter(&filter).unwrap();
            }
            let [first, second, third] = with;
            // SAFETY: no argument is a pointer that the kernel would follow.
            let result = unsafe { libc::syscall(call, first, second, third) };
            (result < 0).then(|| io::Error::last_os_error().raw_os_error().unwrap())
        };
        thread::spawn(work).join().unwrap()
    }

    #[test]
    fn only_sockets_of_four_families_pass() {
        let dgram = i64::from(libc::SOCK_DGRAM);
        for family in 0..64 {
            let found = held(programs().unwrap(), libc::SYS_socket, [family, dgram, 0]);
            let passes = FAMILIES.iter().any(|passes| i64::from(*passes) == family);
            let expect = (!passes).then_some(libc::EAFNOSUPPORT);
            assert_eq!(found, expect, "family {family}");
        }
        // The kernel does not read the upper half, so the filter must not either.
        let packet = i64::from(libc::AF_PACKET) | (1 << 32);
        let found = held(programs().unwrap(), libc::SYS_socket, [packet, dgram, 0]);
        assert_eq!(found, Some(libc::EAFNOSUPPORT));
        let unix = i64::from(libc::AF_UNIX) | (1 << 32);
        assert_eq!(held(programs().unwrap(), libc::SYS_socket, [unix, dgram, 0]), None);
    }

    #[test]
    fn what_leads_out_is_refused_and_rings_are_unknown() {
        for (calls, errno) in [(REFUSED, libc::EPERM), (UNKNOWN, libc::ENOSYS)] {
            for call in calls {
                let found = held(programs().unwrap(), *call, [-1, -1, -1]);
                assert_eq!(found, Some(errno), "call {call}");
            }
        }
        for command in TERMINAL_INPUT {
            let command = i64::try_from(command).unwrap();
            let found = held(programs().unwrap(), libc::SYS_ioctl, [-1, command, 0]);
            assert_eq!(found, Some(libc::EPERM), "{command:#x}");
        }
        assert_eq!(held(programs().unwrap(), libc::SYS_ioctl, [-1, 0, 0]), Some(libc::EBADF));
    }

    /// Kernels without x32 answer `ENOSYS` by themselves, so the filter answers something else here.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn numbers_of_the_x32_abi_meet_the_filter() {
        let x32 = libc::c_long::from(X32_BIT);
        for call in [libc::SYS_socket, libc::SYS_getpid, 521, 545] {
            let filters = other_abi(libc::EDOM).into_iter().collect();
            assert_eq!(held(filters, call | x32, [0; 3]), Some(libc::EDOM), "call {call}");
        }
        let filters = other_abi(libc::EDOM).into_iter().collect();
        assert_eq!(held(filters, libc::SYS_getpid, [0; 3]), None);
    }
}
