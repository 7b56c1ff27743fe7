// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Serves opened doors, the same way in every network namespace.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::model::Fault;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::wiring::{self, KernelOrigins};
use crate::dns::Resolver;
use crate::enforce::Enforcer;
use crate::intake::{self, Door, Doors};
use crate::proxy::Proxy;
use crate::runtime::{self, Draining};

/// Pause after a socket failed to receive; the kernel's queue holds what it has room for.
const RECEIVE_PAUSE: Duration = Duration::from_millis(50);

/// What stands behind every door.
pub(super) struct Reception {
    pub(super) enforcer: Arc<Enforcer>,
    pub(super) proxy: Proxy,
    pub(super) resolver: Resolver,
    pub(super) origins: Arc<KernelOrigins>,
    /// Connections of all doors together.
    pub(super) places: Arc<Semaphore>,
    pub(super) draining: Draining,
    /// Ends every connection at once when true.
    pub(super) cut: watch::Receiver<bool>,
}

impl Reception {
    /// Serves doors in the namespace with this cookie; none for the daemon's own. Aborting the tasks lets
    /// go of the listeners.
    pub(super) fn serve(&self, doors: Doors, netns: Option<u64>) -> Vec<JoinHandle<()>> {
        let origins = match netns {
            Some(netns) => Arc::new(self.origins.within(netns)),
            None => Arc::clone(&self.origins),
        };
        let mut tasks = Vec::new();
        for listener in doors.tcp {
            let (proxy, cut) = (self.proxy.clone(), self.cut.clone());
            let serve = move |accepted| {
                let (served, mut cut) = (proxy.clone().serve(accepted), cut.clone());
                async move {
                    tokio::select! {
                        () = served => {}
                        _cut = cut.wait_for(|is_cut| *is_cut) => {}
                    }
                }
            };
            let origins: Arc<dyn intake::Origins> = Arc::<KernelOrigins>::clone(&origins);
            let places = Arc::clone(&self.places);
            let door = Door { listener, places, alarms: self.enforcer.alarms.clone() };
            let door = intake::accept(door, origins, self.draining.clone(), serve);
            tasks.push(runtime::spawn("proxy door", door));
        }
        for socket in doors.udp {
            let (resolver, alarms) = (self.resolver.clone(), self.enforcer.alarms.clone());
            let (origins, enforcer) = (Arc::clone(&origins), Arc::clone(&self.enforcer));
            tasks.push(runtime::spawn("resolver door", async move {
                let socket = Arc::new(socket);
                loop {
                    let origins = Arc::clone(&origins);
                    let who = move |peer| origins.asker(peer);
                    let record = wiring::refused_names(&enforcer);
                    let error = resolver.serve_udp(Arc::clone(&socket), who, record).await;
                    alarms.shows(Fault::Listener, runtime::chain(&error));
                    tokio::time::sleep(RECEIVE_PAUSE).await;
                }
            }));
        }
        tasks
    }
}
