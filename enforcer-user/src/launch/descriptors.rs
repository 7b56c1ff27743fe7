// SPDX-License-Identifier: Apache-2.0 OR MIT
//! No descriptor of the caller but stdin, stdout and stderr, and no connection among those.
//!
//! A connection that was made outside is nobody's exchange: no program in the kernel sees its bytes.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};

use super::Error;

/// The first descriptor that does not stay.
const FIRST: libc::c_uint = 3;
const FOLDER: &str = "a folder";
const SOCKET: &str = "a socket of a network";

/// Has the kernel close every descriptor above stderr when the command replaces this process
/// (close_range(2), Linux 5.11). Whoever holds one in this program until then finds it open.
pub(super) fn close_at_exec() -> Result<(), Error> {
    // SAFETY: the call changes no descriptor that is in use, it only marks them.
    let failed = unsafe {
        libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if failed == 0 {
        return Ok(());
    }
    Err(Error::step("close the inherited descriptors", io::Error::last_os_error()))
}

/// Refuses a socket of a network, or a folder, as stdin, stdout or stderr.
pub(super) fn refuse_ways_out() -> Result<(), Error> {
    let streams = [
        ("stdin", io::stdin().as_raw_fd()),
        ("stdout", io::stdout().as_raw_fd()),
        ("stderr", io::stderr().as_raw_fd()),
    ];
    for (stream, fd) in streams {
        if let Some(what) = way_out(fd) {
            return Err(Error::Handed { stream, what });
        }
    }
    Ok(())
}

/// Errs to one: a socket that does not tell what it is could be any. A folder leads to what is below it as
/// it was before the mounts changed.
fn way_out(fd: RawFd) -> Option<&'static str> {
    match getsockname::<SockaddrStorage>(fd) {
        Ok(name) if name.family() == Some(AddressFamily::Unix) => None,
        Err(Errno::ENOTSOCK) => {
            Path::new(&format!("/proc/self/fd/{fd}")).is_dir().then_some(FOLDER)
        }
        Err(Errno::EBADF) => None,
        Ok(_) | Err(_) => Some(SOCKET),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn sockets_of_a_network_and_folders_lead_out_and_others_do_not() {
        let (unix, _peer) = UnixStream::pair().unwrap();
        let (null, folder) = (File::open("/dev/null").unwrap(), File::open("/proc").unwrap());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(way_out(unix.as_raw_fd()), None);
        assert_eq!(way_out(null.as_raw_fd()), None);
        assert_eq!(way_out(folder.as_raw_fd()), Some(FOLDER));
        assert_eq!(way_out(socket.as_raw_fd()), Some(SOCKET));
    }
}
