// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who a peer of the proxy or the resolver is, and where it wanted to go.
//!
//! No entry means: refuse the peer. A guess would attribute one agent's traffic to another.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;

use aya::maps::{HashMap, Map, MapData};
use enforcer_common::{FileId, Origin, OriginKey, PROTOCOL_TCP, PROTOCOL_UDP, capacity, map};
use enforcer_core::model::SessionId;

use super::sys::{self, Read};
use super::{Config, Error, pin, syn, text};

/// What the kernel knew when a guarded process connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginSeen {
    /// Where the process wanted to go; a mapped IPv4 address as IPv4.
    pub destination: SocketAddr,
    /// The session it belongs to.
    pub session: SessionId,
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Effective user id in the initial namespace.
    pub uid: u32,
    /// Command name of the thread.
    pub comm: String,
    /// When the process started, in nanoseconds since boot.
    pub started: u64,
    /// Id of the cgroup it was in.
    pub cgroup: u64,
    /// Its program.
    pub exe: FileId,
    /// Process ids of its ancestors, the parent first.
    pub ancestors: Vec<u32>,
}

/// The origins of redirected flows; clones share one descriptor.
#[derive(Clone)]
pub struct Origins {
    map: Arc<MapData>,
    /// Cookie of the network namespace whose peers are asked for.
    netns: u64,
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origins").finish_non_exhaustive()
    }
}

impl Origins {
    pub(super) fn open(config: &Config, netns: u64) -> Result<Self, Error> {
        let failed = |source| Error::map("open", map::ORIGINS, source);
        let path = pin::map(config, map::ORIGINS);
        let pinned = Map::LruHashMap(MapData::from_pin(&path).map_err(failed)?);
        // Compares the sizes of key and value with the kernel's; `sys::element` relies on it.
        HashMap::<_, OriginKey, Origin>::try_from(&pinned).map_err(failed)?;
        let map = MapData::from_pin(&path).map_err(failed)?;
        Ok(Self { map: Arc::new(map), netns })
    }

    /// The origins of flows in another network namespace.
    #[must_use]
    pub fn within(&self, netns: u64) -> Self {
        Self { map: Arc::clone(&self.map), netns }
    }

    /// The origin of a connection, from a listener that [`super::keep_syn`] was called for. It is taken out: a second
    /// call finds none.
    ///
    /// # Errors
    /// When the kernel refuses the lookup; to be treated as no origin.
    pub fn take(
        &self,
        connection: impl AsFd,
        peer: SocketAddr,
    ) -> Result<Option<OriginSeen>, Error> {
        let Some(sequence) = syn::sequence(connection.as_fd())? else {
            return Ok(None);
        };
        self.find(self.key(peer, PROTOCOL_TCP, sequence), Read::Take)
    }

    /// The origin of a query to the resolver. It stays, because one socket sends several, and each of them writes
    /// it anew before it arrives.
    ///
    /// # Errors
    /// When the kernel refuses the lookup; to be treated as no origin.
    pub fn of_query(&self, peer: SocketAddr) -> Result<Option<OriginSeen>, Error> {
        self.find(self.key(peer, PROTOCOL_UDP, 0), Read::Keep)
    }

    fn key(&self, peer: SocketAddr, protocol: u16, sequence: u32) -> OriginKey {
        let address = as_v6(peer.ip()).octets();
        OriginKey { netns: self.netns, address, port: peer.port(), protocol, sequence }
    }

    fn find(&self, key: OriginKey, read: Read) -> Result<Option<OriginSeen>, Error> {
        let found = sys::element::<OriginKey, Origin>(self.map.fd().as_fd(), &key, read);
        let found =
            found.map_err(|source| Error::syscall("look up a peer in", map::ORIGINS, source))?;
        Ok(found.map(|origin| seen(&origin)))
    }

    /// True if the kernel evicts origins that were not taken yet. Reads the whole map.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn is_full(&self) -> Result<bool, Error> {
        let failed = |source| Error::map("read", map::ORIGINS, source);
        let id = self.map.info().map_err(failed)?.id();
        let map = Map::LruHashMap(MapData::from_id(id).map_err(failed)?);
        let origins: HashMap<_, OriginKey, Origin> = map.try_into().map_err(failed)?;
        let count = origins.keys().filter(Result::is_ok).count();
        tracing::debug!(count, "origins that were not taken");
        Ok(count >= capacity::ORIGINS as usize / 10 * FULL_OF_TEN)
    }
}

/// Part of its capacity from which on a map that evicts is full: it evicts a little before its end.
const FULL_OF_TEN: usize = 9;

fn seen(origin: &Origin) -> OriginSeen {
    let address = Ipv6Addr::from(origin.address).to_canonical();
    OriginSeen {
        destination: SocketAddr::new(address, origin.port),
        session: SessionId::from_u64(origin.session),
        pid: origin.tgid,
        uid: origin.uid,
        comm: text(&origin.comm),
        started: origin.started,
        cgroup: origin.cgroup,
        exe: origin.exe,
        ancestors: origin.ancestors.into_iter().take_while(|pid| *pid != 0).collect(),
    }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_key_mapped_or_not() {
        let check = |left: &str, right: &str| {
            let parse = |text: &str| as_v6(text.parse().unwrap());
            assert_eq!(parse(left), parse(right));
        };
        check("127.0.0.1", "::ffff:127.0.0.1");
        check("::1", "::1");
    }

    #[test]
    fn a_mapped_destination_is_shown_as_ipv4() {
        let address = Ipv6Addr::from_bits(0xffff_0a63_0002).octets();
        let origin = Origin {
            address,
            port: 443,
            comm: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
            ..Origin::default()
        };
        let seen = seen(&origin);
        assert_eq!(seen.destination.to_string(), "10.99.0.2:443");
        assert_eq!(seen.comm, "curl");
    }
}
