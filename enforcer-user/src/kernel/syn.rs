// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What tells a connection from every other of the same port: the sequence number of its SYN.
//!
//! The programs read it from the client's socket; the kernel keeps the SYN for whoever accepts. What cannot be
//! read has no number, and its connection no origin. That is so for a SYN that was answered with a cookie, because
//! the accept queue was full.

use std::os::fd::{AsFd, BorrowedFd};

use super::{Error, sys};

/// The longest IP header and TCP header; extension headers of IPv6 are not followed.
const SYN_BYTES_MAX: usize = 60 + 60;
const IPV6_HEADER_BYTES: usize = 40;
const PROTOCOL_TCP: u8 = 6;

/// Has a listener keep the SYN of each connection, without which no origin is found. To be called before it
/// listens: what comes earlier is refused.
///
/// # Errors
/// When the kernel refuses.
pub fn keep_syn(listener: impl AsFd) -> Result<(), Error> {
    let kept = sys::save_syn(listener.as_fd());
    kept.map_err(|source| Error::syscall("have kept", "the SYN of connections", source))
}

/// The number of an accepted connection; none the second time.
pub(super) fn sequence(connection: BorrowedFd<'_>) -> Result<Option<u32>, Error> {
    let mut syn = [0; SYN_BYTES_MAX];
    let length = sys::saved_syn(connection, &mut syn);
    let length =
        length.map_err(|source| Error::syscall("read", "the SYN of a connection", source))?;
    Ok(syn.get(..length).and_then(sequence_in))
}

/// The sequence number in an IP packet with a TCP segment.
fn sequence_in(packet: &[u8]) -> Option<u32> {
    let (protocol, header_bytes) = match packet.first()? {
        first if first >> 4 == 4 => (packet.get(9)?, usize::from(first & 0x0f) * 4),
        first if first >> 4 == 6 => (packet.get(6)?, IPV6_HEADER_BYTES),
        _ => return None,
    };
    let number = packet.get(header_bytes + 4..header_bytes + 8)?;
    (*protocol == PROTOCOL_TCP).then_some(u32::from_be_bytes(number.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_behind_either_header_and_nowhere_else() {
        let check = |first: u8, protocol_at: usize, protocol: u8, header_bytes: usize| {
            let mut packet = vec![0; header_bytes];
            packet[0] = first;
            packet[protocol_at] = protocol;
            packet.extend([1, 2, 3, 4, 5, 6, 7, 8]);
            assert_eq!(sequence_in(&packet[..header_bytes + 7]), None, "cut off");
            sequence_in(&packet)
        };
        assert_eq!(check(0x45, 9, 6, 20), Some(0x0506_0708));
        assert_eq!(check(0x46, 9, 6, 24), Some(0x0506_0708));
        assert_eq!(check(0x60, 6, 6, 40), Some(0x0506_0708));
        assert_eq!(check(0x60, 6, 60, 40), None, "an extension header");
        assert_eq!(check(0x45, 9, 17, 20), None);
        assert_eq!(check(0x75, 9, 6, 20), None);
        assert_eq!(sequence_in(&[]), None);
    }
}
