// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Datagrams to the outside, and groups that the kernel announces.

mod broadcast;
mod connected;
mod connected_again;
mod connected_elsewhere;
mod connected_v6;
mod corked;
mod join;
mod join_group;
mod join_group_source;
mod join_group_v6;
mod join_on_ipv6_socket;
mod join_source;
mod join_v6;
mod link_local;
mod multicast;
mod multicast_v6;
mod other_family;
mod other_name;
mod query;
mod query_from_source;
mod query_from_source_v6;
mod query_link_local;
mod query_v6;
mod query_without_gateway;
mod segmented;
mod sendmmsg;
mod sendmsg;
mod sendto;
mod sendto_mapped;
mod sendto_v6;
