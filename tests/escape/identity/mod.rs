// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes and sockets that try not to be taken for what they are.

mod born_elsewhere;
mod daemon;
mod exec_by_thread;
mod inherited_datagram_socket;
mod inherited_socket;
mod late_thread;
mod loader;
mod memory_file;
mod moved;
mod moved_child;
mod moved_parent;
mod moved_socket;
mod nested_cgroup;
mod process_namespace;
mod received_bound_socket;
mod received_datagram_socket;
mod received_routed_socket;
mod received_socket;
mod script;
mod sent_datagram_socket;
mod sent_socket;
mod sibling;
mod user_namespace;
mod vfork;
