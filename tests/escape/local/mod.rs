// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Services of this host, our own ports among them, and what is dialed from outside.

mod datagram_service;
mod dialed;
mod dialed_v6;
mod dialed_without_queue;
mod fast_open_forward_proxy;
mod forward_proxy;
mod forward_proxy_mapped;
mod forward_proxy_v6;
mod own_address;
mod own_address_v6;
mod proxy_port;
mod proxy_port_alias;
mod proxy_port_mapped;
mod proxy_port_v6;
mod resolver_port;
mod shared_port;
mod squat;
mod squat_any;
mod squat_mapped;
mod squat_resolver;
mod squat_v6;
mod stub_resolver;
mod stub_resolver_tcp;
mod zero;
mod zero_mapped;
mod zero_mapped_with_source;
mod zero_v6;
mod zero_v6_with_mapped_source;
mod zero_with_own_source;
mod zero_with_source;
