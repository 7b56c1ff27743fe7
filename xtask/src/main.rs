// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The project's own commands. Each is a file; this one only chooses.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "commands tell a person what they do")]

mod bench;
mod check;
mod clients;
mod demo;
mod distribution;
mod ebpf;
mod fuzz;
mod generate;
mod packages;
mod step;
mod test;
mod traces;
mod vm;

use std::process::ExitCode;

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
    /// Measure what the programs cost an ordinary process; needs root.
    Bench,
    /// Check formatting, lints and the repository's own rules; changes nothing.
    Check,
    /// Install the SDKs that the demo and the suites run, into the target folder.
    Clients,
    /// Show what Enforcer does, on one screen, with a real agent; needs root.
    Demo,
    /// Compile the eBPF programs into the committed object.
    Ebpf(ebpf::Arguments),
    /// Send mutated bundles through the loader.
    Fuzz(fuzz::Arguments),
    /// Write anew what documents take from the program: the reference of the policy, outputs in the tutorial.
    Gen,
    /// Run everything: checks, all suites, on the real kernel where root is there.
    Test {
        /// Leave out what needs root.
        #[arg(long, conflicts_with = "vm")]
        quick: bool,
        #[command(flatten)]
        vm: vm::Arguments,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Bench => bench::run(),
        Command::Check => check::run(),
        Command::Clients => clients::ensure(),
        Command::Demo => return demo::run(),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Gen => generate::run(),
        Command::Ebpf(arguments) => ebpf::run(&arguments),
        Command::Test { vm, .. } if vm.vm.is_some() => vm::run(&vm),
        Command::Test { quick, .. } => test::run(quick),
    };
    step::exit_code(done)
}
