// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Options of a socket that choose another way for its packets, or another source.

mod bound_device;
mod bound_device_afterwards;
mod bound_device_connected_query;
mod bound_device_mapped;
mod bound_device_query;
mod bound_device_v6;
mod bound_index;
mod destination_options;
mod freebind_query_v6;
mod freebind_v6;
mod hop_by_hop;
mod loose_route;
mod packet_info;
mod packet_info_v6;
mod packet_options;
mod route_in_message;
mod segment_route;
mod segment_route_afterwards;
mod segment_route_query;
mod segment_route_to_own;
mod sticky_packet_info;
mod strict_route;
mod transparent;
mod transparent_query;
mod transparent_v6;
mod unicast_device;
mod unicast_device_v6;
