// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root changes the network around the guarded process.

mod address_translation;
mod loopback_route;
mod loopback_route_v6;
mod new_device;
mod own_program;
mod renamed_devices;
mod rule_before_local;
mod segment_tunnel;
