// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Datagram sockets that are connected, which is allowed, and then send, which is not.

mod after_query;
mod begun_before;
mod broadcast;
mod by_child;
mod given;
mod group;
mod loopback;
mod loopback_v6;
mod mapped;
mod own_address;
mod segmented;
mod sendmmsg;
mod spliced;
mod to_resolver;
mod with_control;
mod written;
mod zero;
mod zero_copy;
