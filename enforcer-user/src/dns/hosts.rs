// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the host's resolvers from `resolv.conf` as the C library does: the first three, and the
//! local machine when there is none (resolv.conf(5)).

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use super::Error;

const PORT: u16 = 53;
/// `MAXNS` of the C library.
const SERVERS_MAX: usize = 3;
/// Bytes that are read of the file.
const BYTES_MAX: u64 = 64 * 1024;

/// The resolvers in this file, usually `/etc/resolv.conf`.
///
/// # Errors
/// If the file is there and cannot be read as text.
pub fn host_resolvers(path: &Path) -> Result<Vec<SocketAddr>, Error> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => Ok(parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(parse("")),
        Err(source) => Err(Error::Hosts { path: path.to_owned(), source }),
    }
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let servers: Vec<SocketAddr> = text.lines().filter_map(server).take(SERVERS_MAX).collect();
    if servers.is_empty() {
        return vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)];
    }
    servers
}

fn server(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_ascii_whitespace();
    if words.next() != Some("nameserver") {
        return None;
    }
    let word = words.next()?;
    // A link-local server needs its interface: `fe80::1%eth0`.
    match word.split_once('%') {
        Some((address, zone)) => {
            let address: Ipv6Addr = address.parse().ok()?;
            let scope = zone.parse().ok().or_else(|| nix::net::if_::if_nametoindex(zone).ok())?;
            Some(SocketAddrV6::new(address, PORT, 0, scope).into())
        }
        None => Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn check(text: &str, expect: &[&str]) {
        let found: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{text:?}");
    }

    #[test]
    fn resolvers_are_read_as_the_c_library_reads_them() {
        check("nameserver 10.0.0.1\nnameserver 10.0.0.2\n", &["10.0.0.1:53", "10.0.0.2:53"]);
        check("# nameserver 10.0.0.1\n;nameserver 10.0.0.1\nsearch a b\n", &["127.0.0.1:53"]);
        check("", &["127.0.0.1:53"]);
        check("nameserver\t2001:db8::1 trailing\r\n", &["[2001:db8::1]:53"]);
        check("nameserver fe80::1%7\n", &["[fe80::1%7]:53"]);
        check("nameserver fe80::1%lo\n", &["[fe80::1%1]:53"]);
        check("nameserver not-an-address\nnameserver 10.0.0.3", &["10.0.0.3:53"]);
        check(
            "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4",
            &["1.1.1.1:53", "1.1.1.2:53", "1.1.1.3:53"],
        );
    }
}
