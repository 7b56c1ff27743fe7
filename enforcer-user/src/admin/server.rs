// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The socket of the admin API: who may connect, and what it serves until the drain.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use enforcer_core::model::{Fault, limits};
use tokio::net::{UnixListener, UnixStream};

use super::grade::Groups;
use super::host::Host;
use super::peer::Peer;
use super::{api, folder, socket};
use crate::runtime::{Alarms, Draining, Spares, has_descriptors, is_out_of_descriptors};

/// Pause after a failed accept.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self::of(stream.io())
    }
}

/// The listener, with the descriptors that let it answer when no others are left.
struct Door {
    listener: UnixListener,
    spares: Arc<Spares>,
    alarms: Alarms,
}

impl Door {
    fn starve(&self, detail: String) {
        self.alarms.raise(Fault::Descriptors, detail);
        self.spares.release();
    }
}

impl axum::serve::Listener for Door {
    type Io = UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    // Answering needs some more: who asks is looked up in `/proc`, programs by their pins.
                    if !has_descriptors(limits::DESCRIPTORS_SPARE) {
                        self.starve("too few file descriptors are left to answer".to_owned());
                    }
                    return accepted;
                }
                Err(error) => {
                    if is_out_of_descriptors(&error) {
                        self.starve(error.to_string());
                    } else {
                        let detail = format!("the admin API failed to accept: {error}");
                        self.alarms.shows(Fault::Listener, detail);
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Fails if somebody answers on the socket: to be called before anything of that daemon is touched.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`].
pub fn refuse_taken(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon answers on it")),
        Err(_) => Ok(()),
    }
}

/// The name under which the socket is made, until its permissions are right: nobody connects in between.
#[must_use]
pub fn fresh_name(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Opens the socket, replacing one that a killed daemon left. `note` says afterwards which folders were made for it.
///
/// # Errors
/// If the folder or the socket cannot be made, or another daemon still answers on it.
pub fn bind(path: &Path, note: &Path, groups: &Groups) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent() {
        folder::make(parent, note)?;
    }
    refuse_taken(path)?;
    let fresh = fresh_name(path);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    socket::restrict(&fresh, groups)?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}

/// Serves the API until the drain begins. `spares` are given up when nothing else lets it answer.
pub async fn serve(
    listener: UnixListener,
    host: Arc<Host>,
    spares: Arc<Spares>,
    mut draining: Draining,
) {
    let door = Door { listener, spares, alarms: host.enforcer.alarms.clone() };
    let app = api::router(&host).into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(door, app).with_graceful_shutdown(async move {
        draining.begun().await;
    });
    if let Err(error) = served.await {
        tracing::error!(%error, "the admin API ended");
    }
}
