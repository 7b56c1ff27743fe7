// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client of the admin API, for the command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use enforcer_core::model::limits;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::Problem;

/// Why the daemon did not answer as hoped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("no daemon answers on `{socket}`")]
    Absent {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// This user may not ask.
    #[error("no permission to use `{socket}`")]
    Forbidden {
        /// The socket.
        socket: PathBuf,
    },
    /// The daemon refused.
    #[error("{}", problem.error)]
    Refused {
        /// HTTP status of the answer.
        status: u16,
        /// Its words.
        problem: Problem,
    },
    /// The answer broke off or did not come.
    #[error("the daemon on `{socket}` did not answer `{path}`: {detail}")]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// What was asked.
        path: String,
        /// What happened.
        detail: String,
    },
}

/// A client of one daemon.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    patience: Duration,
}

impl Client {
    /// A client of the daemon on this socket.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), patience: limits::ADMIN_TIMEOUT }
    }

    /// The same, which waits so long for an answer.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Process id of who listens, whether or not it answers.
    pub async fn daemon(&self) -> Option<u32> {
        let stream = UnixStream::connect(&self.socket).await.ok()?;
        stream.peer_cred().ok()?.pid()?.try_into().ok()
    }

    /// True if a daemon listens, whether or not this user may ask it.
    pub async fn is_there(&self) -> bool {
        match UnixStream::connect(&self.socket).await {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
        }
    }

    /// Reads one resource.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let body = self.send(Method::GET, path, Bytes::new()).await?;
        self.parse(path, &body)
    }

    /// Reads one resource as bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn bytes(&self, path: &str) -> Result<Bytes, Error> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Creates one resource.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post<A: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        ask: &A,
    ) -> Result<T, Error> {
        let ask = serde_json::to_vec(ask).map_err(|error| self.broken(path, &error))?;
        let body = self.send(Method::POST, path, Bytes::from(ask)).await?;
        self.parse(path, &body)
    }

    fn parse<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|error| self.broken(path, &error))
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Error> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| {
            if source.kind() == std::io::ErrorKind::PermissionDenied {
                return Error::Forbidden { socket: self.socket.clone() };
            }
            Error::Absent { socket: self.socket.clone(), source }
        })?;
        let exchange = self.exchange(stream, method, path, body);
        match tokio::time::timeout(self.patience, exchange).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(self.broken(path, &elapsed)),
        }
    }

    async fn exchange(
        &self,
        stream: UnixStream,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, Error> {
        let broken = |error: &dyn std::error::Error| self.broken(path, error);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        drop(crate::runtime::spawn("admin client", async move { drop(connection.await) }));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "enforcer")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| broken(&error))?;
        let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| broken(&error))?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let problem = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Problem { error: said(status), hint: None });
        Err(Error::Refused { status: status.as_u16(), problem })
    }

    fn broken(&self, path: &str, error: &dyn std::error::Error) -> Error {
        let detail = error.to_string();
        Error::Broken { socket: self.socket.clone(), path: path.to_owned(), detail }
    }
}

fn said(status: StatusCode) -> String {
    format!("the daemon answered {status}")
}
