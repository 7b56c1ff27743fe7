// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Passed-through TLS: judged by name only, spliced, never opened. The address dialed is one that was
//! resolved for the name, so a false server name reaches nobody else.

use std::time::Duration;

use enforcer_core::model::{DenyReason, limits};
use enforcer_core::policy::{Endpoint, Policy};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;

use super::Refused;
use crate::enforce::{self, Conn, Enforcer};
use crate::intake::Prefixed;
use crate::runtime::chain;

/// Bytes copied at a time in each direction.
const COPY_BYTES: usize = 32 * 1024;

/// Judges and splices one connection.
pub(super) async fn serve(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Policy,
    endpoint: &Endpoint,
    mut downstream: Prefixed<TcpStream>,
) -> Result<(), Refused> {
    let host = Some(conn.target.host.as_str());
    let tunnel = match enforce::tunnel(cx, conn, policy, endpoint).await {
        Ok(tunnel) => tunnel,
        // Both are in the record already, or cannot be.
        Err(DenyReason::Policy | DenyReason::JournalUnavailable) => {
            drop(downstream.write_all(&super::ACCESS_DENIED).await);
            return Ok(());
        }
        Err(reason) => return Err(Refused::new(reason, host)),
    };
    let upstream = match cx.upstream.tunnel(&conn.target, conn.origin.destination).await {
        Ok(upstream) => upstream,
        Err(error) => {
            tunnel.fail(cx, error.reason(), &chain(&error));
            return Ok(());
        }
    };
    let (up_read, up_write) = split(upstream);
    let (down_read, down_write) = split(downstream);
    let (up, down) = tokio::join!(copy(down_read, up_write), copy(up_read, down_write));
    tunnel.close(up, down);
    Ok(())
}

/// Copies one direction until its end, an error, or silence; returns the bytes copied.
pub(super) async fn copy<R, W>(mut from: ReadHalf<R>, mut to: WriteHalf<W>) -> u64
where
    R: AsyncRead + Send,
    W: AsyncWrite + Send,
{
    let idle: Duration = limits::BODY_IDLE_TIMEOUT;
    let mut buffer = vec![0; COPY_BYTES];
    let mut copied = 0;
    while let Ok(Ok(read @ 1..)) = tokio::time::timeout(idle, from.read(&mut buffer)).await {
        let piece = buffer.get(..read).unwrap_or_default();
        match tokio::time::timeout(idle, to.write_all(piece)).await {
            Ok(Ok(())) => copied += read as u64,
            Ok(Err(_)) | Err(_) => break,
        }
    }
    drop(to.shutdown().await);
    copied
}
