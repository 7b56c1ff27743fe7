// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The few kernel calls for which aya 0.14 has no safe function: replacing the program of a pinned link,
//! reading a link, lookup-and-delete in one step, the cookie of a network namespace, and the SYN of a connection.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use aya::Pod;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_OBJ_PIN: libc::c_int = 6;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_OBJ_GET: libc::c_int = 7;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_MAP_LOOKUP_AND_DELETE_ELEM: libc::c_int = 21;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_LINK_UPDATE: libc::c_int = 29;
const BPF_LINK_DETACH: libc::c_int = 34;
/// `BPF_CGROUP_SETSOCKOPT` of `enum bpf_attach_type`.
const ATTACH_SETSOCKOPT: u32 = 22;

/// `BPF_LINK_TYPE_CGROUP`.
const LINK_TYPE_CGROUP: u32 = 3;

/// What the kernel says about a link; the head of `struct bpf_link_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkInfo {
    kind: u32,
    /// Id of the link.
    pub(super) id: u32,
    /// Id of the program it runs.
    pub(super) program: u32,
    padding: u32,
    /// Of a cgroup link: id of the cgroup it is attached to; zero once it is detached.
    target: u64,
    /// Of a cgroup link: the kind of its hook.
    pub(super) attach_type: u32,
    padding_end: u32,
}

impl LinkInfo {
    /// The cgroup that a cgroup link is attached to.
    pub(super) fn cgroup(&self) -> Option<u64> {
        (self.kind == LINK_TYPE_CGROUP && self.target != 0).then_some(self.target)
    }

    /// False for a cgroup link whose cgroup is gone or that somebody detached. The link of a tracepoint is
    /// attached as long as it exists.
    pub(super) fn is_attached(&self) -> bool {
        self.kind != LINK_TYPE_CGROUP || self.target != 0
    }
}

/// How an element is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Leave it there.
    Keep,
    /// Take it out in the same step.
    Take,
}

#[repr(C)]
struct ElementAttr {
    map_fd: RawFd,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ObjectAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
struct InfoAttr {
    fd: RawFd,
    bytes: u32,
    info: u64,
}

#[repr(C)]
struct LinkCreateAttr {
    program_fd: RawFd,
    target_fd: RawFd,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
struct IdAttr {
    id: u32,
    next_id: u32,
    flags: u32,
}

#[repr(C)]
struct LinkUpdateAttr {
    link_fd: RawFd,
    program_fd: RawFd,
    flags: u32,
    old_program_fd: u32,
}

#[repr(C)]
struct LinkDetachAttr {
    link_fd: RawFd,
}

/// Opens a pinned link or map.
pub(super) fn open_link(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = ObjectAttr { path: path.as_ptr().addr() as u64, fd: 0, flags: 0 };
    let fd = bpf(BPF_OBJ_GET, &mut attr)?;
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins an object.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let fd = u32::try_from(object.as_raw_fd()).map_err(io::Error::other)?;
    let mut attr = ObjectAttr { path: path.as_ptr().addr() as u64, fd, flags: 0 };
    bpf(BPF_OBJ_PIN, &mut attr).map(drop)
}

/// Attaches a `cgroup/setsockopt` program.
pub(super) fn link_setsockopt(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
) -> io::Result<OwnedFd> {
    link_cgroup(program, cgroup, ATTACH_SETSOCKOPT)
}

/// Attaches a program to a hook of a cgroup; `attach_type` is one of `enum bpf_attach_type`.
pub(super) fn link_cgroup(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
) -> io::Result<OwnedFd> {
    let mut attr = LinkCreateAttr {
        program_fd: program.as_raw_fd(),
        target_fd: cgroup.as_raw_fd(),
        attach_type,
        flags: 0,
    };
    let fd = bpf(BPF_LINK_CREATE, &mut attr)?;
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens a loaded program by its id.
pub(super) fn open_program(id: u32) -> io::Result<OwnedFd> {
    let fd = bpf(BPF_PROG_GET_FD_BY_ID, &mut IdAttr { id, next_id: 0, flags: 0 })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads what a link is; of a map only the id is meant.
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let bytes = u32::try_from(size_of::<LinkInfo>()).map_err(io::Error::other)?;
    let mut attr =
        InfoAttr { fd: link.as_raw_fd(), bytes, info: ptr::from_mut(&mut info).addr() as u64 };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// Replaces the program behind a link in one step: each event sees the old one or the new one.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = LinkUpdateAttr {
        link_fd: link.as_raw_fd(),
        program_fd: program.as_raw_fd(),
        flags: 0,
        old_program_fd: 0,
    };
    bpf(BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// Detaches a link, whoever else holds it.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(BPF_LINK_DETACH, &mut LinkDetachAttr { link_fd: link.as_raw_fd() }).map(drop)
}

/// Reads an element of a map whose key and value have the given types; none when it is not there.
///
/// The sizes are compared by the caller: see `Origins::open`.
pub(super) fn element<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    read: Read,
) -> io::Result<Option<V>> {
    let mut value = MaybeUninit::<V>::zeroed();
    let mut attr = ElementAttr {
        map_fd: map.as_raw_fd(),
        padding: 0,
        key: ptr::from_ref(key).addr() as u64,
        value: value.as_mut_ptr().addr() as u64,
        flags: 0,
    };
    let command = match read {
        Read::Keep => BPF_MAP_LOOKUP_ELEM,
        Read::Take => BPF_MAP_LOOKUP_AND_DELETE_ELEM,
    };
    match bpf(command, &mut attr) {
        // SAFETY: zero is a valid value of plain old data, and the kernel has written over it.
        Ok(_) => Ok(Some(unsafe { value.assume_init() })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Has a listener keep the SYN of each connection until it is asked for.
pub(super) fn save_syn(listener: BorrowedFd<'_>) -> io::Result<()> {
    let yes: libc::c_int = 1;
    let bytes = libc::socklen_t::try_from(size_of_val(&yes)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for the call, and the pointer is to a live value of its size.
    let failed = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SAVE_SYN,
            ptr::from_ref(&yes).cast(),
            bytes,
        )
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Writes the SYN of a connection, from its IP header on, and returns its length: zero when it was not saved,
/// or was read already.
pub(super) fn saved_syn(connection: BorrowedFd<'_>, syn: &mut [u8]) -> io::Result<usize> {
    let mut bytes = libc::socklen_t::try_from(syn.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for the call, and the kernel writes at most the given length.
    let failed = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SAVED_SYN,
            syn.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    usize::try_from(bytes).map_err(io::Error::other)
}

/// Has the runtime of this task tell when a descriptor becomes readable.
pub(super) fn watch<T: AsFd + AsRawFd>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: a value that can lend its descriptor owns it, keeps it open and never changes it.
    let watched = unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) };
    watched.map_err(|error| error.into_parts().1)
}

/// Reads plain old data from its bytes; none when the length is another one.
pub(super) fn plain<T: Pod>(bytes: &[u8]) -> Option<T> {
    // SAFETY: the length is the type's, every bit pattern is valid, and the read needs no alignment.
    (bytes.len() == size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Writes an element of a map whose key and value have the given types.
pub(super) fn set_element<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    key: &K,
    value: &V,
) -> io::Result<()> {
    let mut attr = ElementAttr {
        map_fd: map.as_raw_fd(),
        padding: 0,
        key: ptr::from_ref(key).addr() as u64,
        value: ptr::from_ref(value).addr() as u64,
        flags: 0,
    };
    bpf(BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// A handle of a process.
pub(super) fn open_process(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    owned(fd)
}

/// A copy of a descriptor of a process.
pub(super) fn descriptor_of(process: BorrowedFd<'_>, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) };
    owned(fd)
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An option of `SOL_SOCKET` that is a number.
pub(super) fn socket_option(socket: BorrowedFd<'_>, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut bytes =
        libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for the call, and both pointers are to live values of their size.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            ptr::from_mut(&mut value).cast(),
            &raw mut bytes,
        )
    };
    if failed == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// The cookie of the network namespace of this thread.
pub(super) fn netns_cookie() -> io::Result<u64> {
    let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0"))?;
    let mut cookie = 0_u64;
    let mut bytes = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for the call, and both pointers are to live values of their size.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            ptr::from_mut(&mut cookie).cast(),
            &raw mut bytes,
        )
    };
    if failed == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

/// One bpf(2) call; `A` is the part of `union bpf_attr` that the command reads.
fn bpf<A>(command: libc::c_int, attr: &mut A) -> io::Result<RawFd> {
    // SAFETY: `attr` is a live `repr(C)` prefix of `union bpf_attr`; the kernel takes the rest as zero.
    // Pointers in it are to values that live in the caller until this returns.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_mut(attr), size_of::<A>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(io::Error::other)
}
