// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tells the programs at which addresses connections are taken of processes that are not guarded, and whether
//! everybody's are.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, MapError};
use enforcer_common::{AGENT_NAME_BYTES, EndpointKey, Watch, capacity, map};
use enforcer_core::model::limits::ENDPOINT_ADDRESSES_MAX;
use enforcer_core::model::{AgentName, SessionId};

use super::{Error, Kernel, attach, is_missing, label};

const _: () = assert!(ENDPOINT_ADDRESSES_MAX == capacity::ENDPOINTS as usize);

const OWN_STAT: &str = "/proc/self/stat";
/// What follows the command name in `stat` begins with the third field; the start is the 22nd (proc(5)).
const START_AFTER_NAME: usize = 19;

/// The maps behind it.
pub(super) struct Watched {
    watch: Array<MapData, Watch>,
    endpoints: HashMap<MapData, EndpointKey, u8>,
}

impl Watched {
    /// Opens the maps and says which process is the daemon, before any program is attached. Whom an earlier daemon
    /// had watched stays watched until [`Kernel::watch_any`].
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let failed = |name| move |source| Error::map("open", name, source);
        let mut take = |name| attach::take(ebpf, name);
        let mut watched = Self {
            watch: take(map::WATCH)?.try_into().map_err(failed(map::WATCH))?,
            endpoints: take(map::ENDPOINTS)?.try_into().map_err(failed(map::ENDPOINTS))?,
        };
        let earlier = watched.watch.get(&0, 0).map_err(|source| watch_failed("read", source))?;
        let (daemon, daemon_started) = (std::process::id(), own_start()?);
        watched.set(Watch { daemon, daemon_started, ..earlier })?;
        Ok(watched)
    }

    fn set(&mut self, watch: Watch) -> Result<(), Error> {
        self.watch.set(0, watch, 0).map_err(|source| watch_failed("write", source))
    }

    fn known(&self) -> Result<BTreeSet<EndpointKey>, Error> {
        let keys: Result<_, _> = self.endpoints.keys().collect();
        keys.map_err(|source| Error::map("read", map::ENDPOINTS, source))
    }
}

impl Kernel {
    /// Says as which agent a process is taken that is nobody's and connects to an endpoint; none for leaving
    /// all of them alone.
    ///
    /// # Errors
    /// When the name is too long for a label or the kernel refuses.
    pub fn watch_any(&self, agent: Option<&AgentName>) -> Result<(), Error> {
        let name = match agent {
            Some(agent) => label(SessionId::HOST, agent)?.agent,
            None => [0; AGENT_NAME_BYTES],
        };
        let mut watched = self.watched();
        let earlier = watched.watch.get(&0, 0).map_err(|source| watch_failed("read", source))?;
        watched.set(Watch { is_any: u32::from(agent.is_some()), agent: name, ..earlier })
    }

    /// Says where endpoints are; what was said before is replaced. Of more than there is room for, the last are
    /// left out; returns how many.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_endpoints(&self, addresses: &BTreeSet<SocketAddr>) -> Result<usize, Error> {
        let mut watched = self.watched();
        let known = watched.known()?;
        let wanted: BTreeSet<EndpointKey> =
            addresses.iter().take(ENDPOINT_ADDRESSES_MAX).map(|address| key(*address)).collect();
        for gone in known.difference(&wanted) {
            match watched.endpoints.remove(gone) {
                Err(source) if !is_missing(&source) => {
                    return Err(Error::map("remove an address from", map::ENDPOINTS, source));
                }
                _ => {}
            }
        }
        for new in wanted.difference(&known) {
            let written = watched.endpoints.insert(new, 1, 0);
            written.map_err(|source| Error::map("add an address to", map::ENDPOINTS, source))?;
        }
        Ok(addresses.len().saturating_sub(ENDPOINT_ADDRESSES_MAX))
    }

    /// Where the programs were told that endpoints are.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn endpoints(&self) -> Result<BTreeSet<SocketAddr>, Error> {
        let known = self.watched().known()?;
        let address =
            |key: &EndpointKey| SocketAddr::new(IpAddr::from(key.address).to_canonical(), key.port);
        Ok(known.iter().map(address).collect())
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(address: SocketAddr) -> EndpointKey {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    EndpointKey { address: ip.octets(), port: address.port(), padding: [0; 3] }
}

fn watch_failed(operation: &'static str, source: MapError) -> Error {
    Error::map(operation, map::WATCH, source)
}

/// When this process started, in clock ticks since boot.
fn own_start() -> Result<u64, Error> {
    let path = Path::new(OWN_STAT);
    let stat = fs::read_to_string(path).map_err(|source| Error::io("read", path, source))?;
    let start = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(START_AFTER_NAME)?.parse().ok());
    start.ok_or(Error::Host { reason: "`/proc/self/stat` does not say when the daemon started" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_key_mapped_or_not() {
        let of = |text: &str| key(text.parse().unwrap());
        assert_eq!(of("192.0.2.1:443"), of("[::ffff:192.0.2.1]:443"));
        assert_ne!(of("192.0.2.1:443"), of("192.0.2.1:80"));
        assert_eq!(of("[2001:db8::1]:443").port, 443);
    }

    #[test]
    fn a_process_knows_when_it_started() {
        assert!(own_start().unwrap() > 0);
        assert_eq!(own_start().unwrap(), own_start().unwrap());
    }
}
