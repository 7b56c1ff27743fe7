// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ends the connections that a process made before it was guarded, and labels its sockets. What it made since
//! then has its label and stays.
//!
//! A connection goes on without asking any hook, so the only way to take it is to end it: `SOCK_DESTROY`
//! resets it (`CONFIG_INET_DIAG_DESTROY`), where the kernel cannot it is shut down. Listeners stay; the label
//! makes what they accept guarded. A socket that is in nobody's table of descriptors (in flight between two
//! processes) is not seen.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use aya::Pod;
use aya::maps::{MapData, MapError};
use enforcer_common::{Origin, SocketLabel, map};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockProtocol, SockType, SockaddrLike as _,
    SockaddrStorage, getpeername, getsockopt, recv, send, shutdown, socket, sockopt,
};

use super::{Config, Error, pin, sys};

/// `SOCK_DESTROY` (linux/sock_diag.h).
const SOCK_DESTROY: u16 = 21;
/// `NLM_F_REQUEST | NLM_F_ACK` (linux/netlink.h).
const REQUEST_AND_ACK: u16 = 5;
/// `INET_DIAG_NOCOOKIE` (linux/inet_diag.h).
const NO_COOKIE: u64 = u64::MAX;
/// Bytes of `struct nlmsghdr` and `struct inet_diag_req_v2`.
const DESTROY_BYTES: u32 = 72;
/// Bytes of an acknowledgment with the message that it answers.
const ANSWER_BYTES: usize = 256;

/// See [`super::Kernel::cut`].
pub(super) fn cut(config: &Config, pid: u32, label: SocketLabel) -> Result<u64, Error> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let failed = |source| Error::io("look at the sockets of", &process, source);
    let handle = sys::open_process(pid).map_err(failed)?;
    let labels = storage::<SocketLabel>(config, map::SOCKET_LABEL)?;
    let origins = storage::<Origin>(config, map::SOCKET_ORIGIN)?;
    let diag = diag_within(&process.join("ns/net")).map_err(failed)?;
    let mut count = 0;
    for number in sockets(&process).map_err(failed)? {
        // One that is closed meanwhile needs nothing.
        let Ok(found) = sys::descriptor_of(handle.as_fd(), number) else { continue };
        let Some(kind) = kind(&found) else { continue };
        let made_by = element::<SocketLabel>(&labels, &found).map_err(failed)?;
        if made_by.is_some_and(|made| made.session == label.session) {
            continue;
        }
        // One that is older and was redirected since then is ours already.
        let went_by = element::<Origin>(&origins, &found).map_err(failed)?;
        if went_by.is_none_or(|origin| origin.session != label.session) {
            count += u64::from(end(&diag, &found, kind).map_err(failed)?);
        }
        let told = sys::set_element(labels.fd().as_fd(), &found.as_raw_fd(), &label);
        if let Err(error) = told {
            tracing::warn!(pid, %error, "a socket that is older than its label has none");
        }
    }
    Ok(count)
}

/// A storage of sockets, with values of the given type.
fn storage<V: Pod>(config: &Config, name: &'static str) -> Result<MapData, Error> {
    let failed = |source| Error::map("open", name, source);
    let found = MapData::from_pin(pin::map(config, name)).map_err(failed)?;
    let bytes = found.info().map_err(failed)?.value_size();
    if usize::try_from(bytes).is_ok_and(|bytes| bytes == size_of::<V>()) {
        return Ok(found);
    }
    Err(failed(MapError::InvalidValueSize { size: size_of::<V>(), expected: bytes as usize }))
}

/// What is stored on a socket.
fn element<V: Pod>(map: &MapData, socket: &OwnedFd) -> io::Result<Option<V>> {
    sys::element(map.fd().as_fd(), &socket.as_raw_fd(), sys::Read::Keep)
}

/// Numbers of a process's descriptors that are sockets.
fn sockets(process: &Path) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(process.join("fd"))? {
        let entry = entry?;
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let is_socket = target.to_string_lossy().starts_with("socket:");
        if let Some(number) = entry.file_name().to_str().filter(|_| is_socket) {
            numbers.extend(number.parse::<i32>());
        }
    }
    Ok(numbers)
}

/// A netlink socket in the network namespace of a process. A thread of its own enters it and ends there.
fn diag_within(namespace: &Path) -> io::Result<OwnedFd> {
    let namespace = File::open(namespace)?;
    let open = move || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        let flags = SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)
    };
    let opened = std::thread::spawn(open).join();
    let opened = opened.map_err(|_panic| io::Error::other("a thread ended"))?;
    Ok(opened?)
}

/// A socket of the internet families, with its protocol; none for any other.
fn kind(found: &OwnedFd) -> Option<u8> {
    let family = sys::socket_option(found.as_fd(), libc::SO_DOMAIN).ok()?;
    let protocol = sys::socket_option(found.as_fd(), libc::SO_PROTOCOL).ok()?;
    let is_internet = family == libc::AF_INET || family == libc::AF_INET6;
    is_internet.then(|| u8::try_from(protocol).ok()).flatten()
}

/// Ends what a socket is connected to; says whether it was.
fn end(diag: &OwnedFd, found: &OwnedFd, protocol: u8) -> io::Result<bool> {
    if getsockopt(found, sockopt::AcceptConn).unwrap_or(false) {
        return Ok(false);
    }
    let Some((local, peer)) = ends_of(found) else {
        // Nothing to end, or a connection that is being made: that one has no peer yet.
        return Ok(shutdown(found.as_raw_fd(), Shutdown::Both).is_ok() && protocol == 6);
    };
    if destroy(diag, protocol, local, peer).is_err() {
        // An end of the other side's choice comes to the same.
        shutdown(found.as_raw_fd(), Shutdown::Both).ok();
    }
    Ok(true)
}

/// Both addresses of a connected socket.
fn ends_of(found: &OwnedFd) -> Option<(SocketAddr, SocketAddr)> {
    let peer = address(&getpeername::<SockaddrStorage>(found.as_raw_fd()).ok()?)?;
    let local = nix::sys::socket::getsockname::<SockaddrStorage>(found.as_raw_fd()).ok()?;
    Some((address(&local)?, peer))
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    match storage.family()? {
        AddressFamily::Inet => {
            storage.as_sockaddr_in().map(|found| SocketAddr::V4((*found).into()))
        }
        AddressFamily::Inet6 => {
            storage.as_sockaddr_in6().map(|found| SocketAddr::V6((*found).into()))
        }
        _ => None,
    }
}

fn destroy(diag: &OwnedFd, protocol: u8, local: SocketAddr, peer: SocketAddr) -> io::Result<()> {
    let message = destroy_message(protocol, local, peer);
    send(diag.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut answer = [0; ANSWER_BYTES];
    let bytes = recv(diag.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let code = answer.get(16..20).filter(|_| bytes >= 20);
    let code = code.and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes);
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

/// `struct nlmsghdr`, then `struct inet_diag_req_v2`.
fn destroy_message(protocol: u8, local: SocketAddr, peer: SocketAddr) -> Vec<u8> {
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut message = Vec::new();
    message.extend(DESTROY_BYTES.to_ne_bytes());
    message.extend(SOCK_DESTROY.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([u8::try_from(family).unwrap_or_default(), protocol, 0, 0]);
    message.extend(u32::MAX.to_ne_bytes());
    message.extend(local.port().to_be_bytes());
    message.extend(peer.port().to_be_bytes());
    message.extend(padded(local.ip()));
    message.extend(padded(peer.ip()));
    message.extend([0; 4]);
    message.extend(NO_COOKIE.to_ne_bytes());
    message
}

fn padded(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_as_long_as_it_says() {
        for (local, peer) in [("127.0.0.1:1", "127.0.0.2:2"), ("[::1]:1", "[::2]:2")] {
            let message = destroy_message(6, local.parse().unwrap(), peer.parse().unwrap());
            assert_eq!(message.len(), 72);
        }
    }
}
