// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The stand-in provider as a program, for trying things by hand.
//!
//! `stand-in-provider --listen 127.0.0.1:8443 --ca-out ca.pem [--log requests.jsonl] [--pace-ms 40]
//! [--name api.openai.com] [--answer TEXT]`; it serves until it is killed.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use enforcer_tests::provider::Options;
use enforcer_tests::{Authority, FakeUpstream};

const HELP: &str = "\
Stands in for the APIs of OpenAI and Anthropic; serves until it is killed.

  --ca-out FILE       where to write the certificate of the CA that clients have to trust (needed)
  --listen HOST:PORT  where to listen
  --name HOST         a name to serve, as often as needed; api.openai.com without it
  --answer TEXT       what models answer
  --log FILE          where to write the requests, one JSON object a line
  --pace-ms N         how long to wait between the events of a stream";

fn main() -> Result<()> {
    let mut options = Options { names: Vec::new(), ..Options::default() };
    let mut ca_out = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if matches!(name.as_str(), "--help" | "-h") {
            writeln!(std::io::stdout(), "{HELP}")?;
            return Ok(());
        }
        let value = arguments.next().with_context(|| format!("`{name}` needs a value"))?;
        match name.as_str() {
            "--answer" => options.answer = value,
            "--ca-out" => ca_out = Some(PathBuf::from(value)),
            "--listen" => options.listen = value.parse().context("`--listen` takes HOST:PORT")?,
            "--log" => options.log_file = Some(PathBuf::from(value)),
            "--name" => options.names.push(value),
            "--pace-ms" => options.pace = Duration::from_millis(value.parse()?),
            _ => bail!(
                "unknown option `{name}`; known are --answer, --ca-out, --listen, --log, --name \
                 and --pace-ms"
            ),
        }
    }
    if options.names.is_empty() {
        options.names = Options::default().names;
    }
    let authority = Authority::new("Stand-in provider CA")?;
    let path = ca_out.context("`--ca-out FILE` is needed: clients have to trust the stand-in")?;
    std::fs::write(&path, authority.pem())
        .with_context(|| format!("failed to write `{}`", path.display()))?;
    let upstream = FakeUpstream::start(&authority, &options)?;
    writeln!(std::io::stdout(), "listening on {}", upstream.address())?;
    loop {
        std::thread::park();
    }
}
