// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Steps aside: a connection that was taken by its address alone and turns out to be for a name that is no endpoint
//! goes on to where its process wanted to go, unopened and unjudged.
//!
//! For agents of which only connections to endpoints are taken: many names share an address, and what is not
//! for an endpoint is none of ours. The journal says nothing about it, for the same reason. And in observe mode,
//! where the journal says that it would have been refused.

use enforcer_core::model::{DenyReason, limits};
use tokio::io::split;
use tokio::net::TcpStream;

use super::Refused;
use super::passthrough::copy;
use crate::enforce::{self, Enforcer};
use crate::intake::{Origin, Prefixed};

/// Splices one connection to its original destination.
pub(super) async fn serve(
    origin: &Origin,
    cx: &Enforcer,
    name: Option<&str>,
    downstream: Prefixed<TcpStream>,
) -> Result<(), Refused> {
    let told = name.map(|name| enforce::recorded(cx, name));
    tracing::debug!(
        session = %origin.session, destination = %origin.destination,
        name = told.as_deref().unwrap_or("-"), "not for an endpoint"
    );
    let attempt = TcpStream::connect(origin.destination);
    let upstream = match tokio::time::timeout(limits::UPSTREAM_CONNECT_TIMEOUT, attempt).await {
        Ok(Ok(upstream)) => upstream,
        Ok(Err(error)) => {
            let refused = Refused::new(DenyReason::UpstreamUnreachable, name);
            return Err(refused.detail(error.to_string()));
        }
        Err(_elapsed) => return Err(Refused::new(DenyReason::UpstreamUnreachable, name)),
    };
    let (up_read, up_write) = split(upstream);
    let (down_read, down_write) = split(downstream);
    tokio::join!(copy(down_read, up_write), copy(up_read, down_write));
    Ok(())
}
