// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TCP to the outside, in every way in which a connection can be begun.

mod accepted_reused;
mod after_unspec;
mod bound_source;
mod bound_source_v6;
mod connect;
mod connect_mapped;
mod connect_v6;
mod fast_open;
mod fast_open_connect;
mod fast_open_mapped;
mod fast_open_sendmmsg;
mod fast_open_sendmsg;
mod fast_open_v6;
mod link_local;
mod mark;
mod mptcp;
mod mptcp_fast_open;
mod mptcp_v6;
mod non_blocking;
mod other_family;
mod repair;
mod sendfile;
mod splice;
mod zero_copy;
