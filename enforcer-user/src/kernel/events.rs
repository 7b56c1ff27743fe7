// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads what the programs refused, and passes their log lines on.
//!
//! Ends only with an error. Events that found the ring full are counted in the kernel and not seen here.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use aya::maps::{Map, MapData, RingBuf};
use aya_log::EbpfLogger;
use enforcer_common::{Event, map};
use log::Log;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::{Config, Error, pin, sys};

type Logger = EbpfLogger<&'static dyn Log>;

/// The reader of the event ring; polling it also moves the programs' log lines into `log`.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
    log: Option<AsyncFd<Logger>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn open(config: &Config, log: Option<Logger>) -> Result<Self, Error> {
        let failed = |source| Error::map("open", map::EVENTS, source);
        let path = pin::map(config, map::EVENTS);
        let pinned = MapData::from_pin(&path).map_err(failed)?;
        let ring = RingBuf::try_from(Map::RingBuf(pinned)).map_err(failed)?;
        let log = log.map(|log| watch(log, &path)).transpose()?;
        Ok(Self { ring: watch(ring, &path)?, log })
    }

    /// Waits for the next refused attempt. Safe to drop while it waits: no event is lost by it.
    ///
    /// # Errors
    /// When the ring cannot be polled, or holds something that is not an event.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(item) = self.ring.get_mut().next() {
                return event(&item);
            }
            self.wait().await.map_err(|source| Error::syscall("poll map", map::EVENTS, source))?;
        }
    }

    /// Returns when the ring may hold something; log lines are passed on meanwhile.
    async fn wait(&mut self) -> io::Result<()> {
        let Some(log) = self.log.as_mut() else {
            self.ring.readable_mut().await?.clear_ready();
            return Ok(());
        };
        tokio::select! {
            ready = self.ring.readable_mut() => ready?.clear_ready(),
            ready = log.readable_mut() => {
                let mut ready = ready?;
                ready.clear_ready();
                ready.get_inner_mut().flush();
            }
        }
        Ok(())
    }
}

fn watch<T: AsFd + AsRawFd>(inner: T, path: &Path) -> Result<AsyncFd<T>, Error> {
    if Handle::try_current().is_err() {
        return Err(Error::Host { reason: "no runtime polls the event ring" });
    }
    sys::watch(inner).map_err(|source| Error::io("poll", path, source))
}

fn event(bytes: &[u8]) -> Result<Event, Error> {
    let read = sys::plain(bytes);
    let wrong = || {
        let text = format!("{} bytes instead of {}", bytes.len(), size_of::<Event>());
        Error::syscall("read", map::EVENTS, io::Error::new(io::ErrorKind::InvalidData, text))
    };
    read.ok_or_else(wrong)
}
