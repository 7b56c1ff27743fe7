// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The project's own commands; each is a file of its own.
#![expect(clippy::print_stderr, reason = "commands tell a person what they do")]

mod ebpf;
mod packages;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile the eBPF programs into the committed object.
    Ebpf(ebpf::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Ebpf(arguments) => ebpf::run(&arguments),
    }
}
