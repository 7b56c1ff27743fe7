// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Kinds of sockets that are neither TCP nor UDP.

mod dccp;
mod l2tp;
mod ping;
mod ping_connected;
mod ping_v6;
mod raw;
mod raw_header;
mod raw_icmp;
mod raw_v6;
mod sctp;
mod sctp_many;
mod smc;
mod udplite;
mod udplite_connected;
mod udplite_v6;
