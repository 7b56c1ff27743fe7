// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections and what carries requests on them: HTTP/1.1, HTTP/2, TLS, tunnels.

mod around;
mod authority;
mod carrier;
mod connections;
pub(crate) mod frames;
mod load;
mod passthrough;
mod patience;
mod shared;
mod upstream;
mod websocket;
