// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same through io_uring, whose work may be done by threads of the kernel.

mod connect;
mod connect_polled;
mod connected;
mod connected_polled;
mod datagram;
mod datagram_polled;
mod fast_open;
mod fast_open_polled;
mod join;
mod join_polled;
mod socket;
mod socket_polled;
