// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Handshakes in memory between our configurations and the library's, and with the tools people use.

use std::fs::{self, Permissions};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enforcer_core::model::{DenyReason, limits};
use rustls::client::{EchGreaseConfig, EchMode};
use rustls::crypto::aws_lc_rs::hpke;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, HandshakeKind, ServerConfig, SupportedProtocolVersion, version};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::mint::{Minter, server_config_at};
use super::{
    ALPN, Ca, Error, HandshakeFailure, Hello, HelloParse, Root, UpstreamFailure, client_config,
    handshake_failure, parse_hello, provider, server_config, upstream_failure, write_trust,
};

const NAME: &str = "api.openai.com";
const DAY: u64 = 24 * 3600;

/// A clock that tests set.
#[derive(Debug)]
struct Clock(Mutex<u64>);

impl Clock {
    fn days_from_now(days: i64) -> Arc<Self> {
        let now = UnixTime::now().as_secs();
        Arc::new(Self(Mutex::new(now.checked_add_signed(days * 24 * 3600).unwrap())))
    }

    fn advance(&self, days: u64) {
        *self.0.lock().unwrap() += days * DAY;
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(*self.0.lock().unwrap())))
    }
}

fn state() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn ca(state: &TempDir) -> Ca {
    Ca::open_or_create(state.path()).unwrap()
}

/// A client that trusts the CA of this state folder.
fn trusting(state: &TempDir) -> Arc<ClientConfig> {
    drop(ca(state));
    client_config(&[Root::File(state.path().join("ca/ca.pem"))]).unwrap()
}

fn with_version(
    config: &ClientConfig,
    state: &TempDir,
    version: &'static SupportedProtocolVersion,
) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca(state).certificate().clone()).unwrap();
    let mut made = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    made.alpn_protocols.clone_from(&config.alpn_protocols);
    Arc::new(made)
}

/// What both sides of one handshake saw.
struct Seen {
    client: io::Result<(HandshakeKind, CertificateDer<'static>)>,
    server: io::Result<Option<Vec<u8>>>,
}

async fn shake(client: Arc<ClientConfig>, server: Arc<ServerConfig>, name: &str) -> Seen {
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connecting = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        stream.write_all(b"ping").await?;
        stream.flush().await?;
        // Tickets arrive with the first bytes of the answer.
        stream.read_exact(&mut [0; 4]).await?;
        let (_, session) = stream.get_ref();
        let leaf = session.peer_certificates().unwrap()[0].clone().into_owned();
        Ok((session.handshake_kind().unwrap(), leaf))
    };
    let accepting = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).await?;
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        Ok(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
    };
    let (client, server) = tokio::join!(connecting, accepting);
    Seen { client, server }
}

fn serial(leaf: &CertificateDer<'_>) -> Vec<u8> {
    X509Certificate::from_der(leaf).unwrap().1.raw_serial().to_vec()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_ca_is_made_once_with_a_private_key_file() {
    let state = state();
    let first = ca(&state).certificate_pem().to_owned();
    assert_eq!(ca(&state).certificate_pem(), first);
    assert_eq!(mode(&state.path().join("ca")), 0o700);
    assert_eq!(mode(&state.path().join("ca/ca.key")), 0o600);
    assert_eq!(mode(&state.path().join("ca/ca.pem")), 0o644);
    assert!(!state.path().join(".ca.new").exists());
    let ca = ca(&state);
    let (_, parsed) = X509Certificate::from_der(ca.certificate()).unwrap();
    assert!(parsed.subject().to_string().starts_with("CN=Enforcer CA "));
    let basic = parsed.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    assert_eq!(basic.value.path_len_constraint, Some(0));
    assert!(parsed.key_usage().unwrap().unwrap().value.key_cert_sign());
}

#[test]
fn a_draft_left_by_a_crash_does_not_become_the_ca() {
    let state = state();
    fs::create_dir(state.path().join(".ca.new")).unwrap();
    fs::write(state.path().join(".ca.new/ca.key"), "half a key").unwrap();
    drop(ca(&state));
    assert!(!state.path().join(".ca.new").exists());
}

#[test]
fn a_ca_that_cannot_be_relied_on_is_refused_with_a_hint() {
    fn check(expect: &str, spoil: impl FnOnce(&Path)) {
        let state = state();
        drop(ca(&state));
        spoil(&state.path().join("ca"));
        let error = Ca::open_or_create(state.path()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expect), "{text}");
        assert!(error.hint().is_some() || matches!(error, Error::Malformed { .. }), "{text}");
    }
    check("ca.key` is open to others: mode 0640", |dir| set_mode(&dir.join("ca.key"), 0o640));
    check("ca` is open to others: mode 0777", |dir| set_mode(dir, 0o777));
    check("`ca.key` is missing", |dir| fs::remove_file(dir.join("ca.key")).unwrap());
    check("`ca.pem` is missing", |dir| fs::remove_file(dir.join("ca.pem")).unwrap());
    check("does not hold a private key", |dir| fs::write(dir.join("ca.key"), "x").unwrap());
    check("does not hold a certificate", |dir| fs::write(dir.join("ca.pem"), "x").unwrap());
    check("do not belong together", |dir| {
        let other = state();
        drop(ca(&other));
        fs::copy(other.path().join("ca/ca.pem"), dir.join("ca.pem")).unwrap();
    });
    check("does not hold a CA certificate", |dir| {
        let other = state();
        let leaf = Minter::new(ca(&other), Clock::days_from_now(0)).unwrap().leaf(NAME).unwrap();
        fs::write(dir.join("ca.pem"), super::ca::to_pem(&leaf.cert[0])).unwrap();
    });
}

#[test]
fn a_ca_key_behind_a_link_is_refused() {
    let state = state();
    drop(ca(&state));
    let key = state.path().join("ca/ca.key");
    fs::rename(&key, state.path().join("elsewhere")).unwrap();
    symlink(state.path().join("elsewhere"), &key).unwrap();
    let error = Ca::open_or_create(state.path()).unwrap_err();
    assert!(matches!(error, Error::File { operation: "open", .. }), "{error}");
}

#[test]
fn an_expired_ca_is_refused() {
    let state = state();
    let at = |days| Clock::days_from_now(days).current_time().unwrap();
    drop(Ca::open_or_create_at(state.path(), at(0)).unwrap());
    for days in [-2, 3660] {
        let error = Ca::open_or_create_at(state.path(), at(days)).unwrap_err();
        assert!(matches!(error, Error::Expired { .. }), "{days}: {error}");
    }
}

#[test]
fn the_trust_files_are_public_and_the_variables_name_them() {
    let state = state();
    let parent = state.path().join("deep");
    let ca = Ca::open_or_create(&parent).unwrap();
    set_mode(&parent, 0o700);
    let system = [CertificateDer::from(vec![1, 2, 3]), ca.certificate().clone()];
    let trust = write_trust(&parent, &ca, &system).unwrap();
    assert_eq!(mode(&parent), 0o711);
    assert_eq!(mode(&parent.join("ca/ca.key")), 0o600);
    assert_eq!(mode(&parent.join("trust")), 0o755);
    assert_eq!((mode(&trust.ca), mode(&trust.bundle)), (0o644, 0o644));
    assert_eq!(fs::read_to_string(&trust.ca).unwrap(), ca.certificate_pem());
    let bundle = fs::read_to_string(&trust.bundle).unwrap();
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2, "{bundle}");
    assert!(bundle.contains("AQID"), "{bundle}");
    client_config(&[Root::File(trust.ca.clone())]).unwrap();
    let environment = trust.environment();
    let value = |name: &str| environment.iter().find(|it| it.0 == name).unwrap().1.clone();
    assert_eq!(value("SSL_CERT_FILE"), trust.bundle.display().to_string());
    assert_eq!(value("NODE_EXTRA_CA_CERTS"), trust.ca.display().to_string());
}

#[test]
fn trust_files_that_were_changed_are_put_right_and_others_stay_untouched() {
    let state = state();
    let ca = ca(&state);
    let trust = write_trust(state.path(), &ca, &[]).unwrap();
    let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let before = (written(&trust.ca), written(&trust.bundle));
    write_trust(state.path(), &ca, &[]).unwrap();
    assert_eq!((written(&trust.ca), written(&trust.bundle)), before);
    fs::write(&trust.bundle, "emptied").unwrap();
    write_trust(state.path(), &ca, &[]).unwrap();
    assert!(fs::read_to_string(&trust.bundle).unwrap().contains(ca.certificate_pem()));
}

#[tokio::test]
async fn a_client_that_trusts_the_ca_gets_a_leaf_for_the_name_it_asked_for() {
    let state = state();
    let server = server_config(ca(&state)).unwrap();
    let (_, leaf) = shake(trusting(&state), server, NAME).await.client.unwrap();
    let (_, parsed) = X509Certificate::from_der(&leaf).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap().value;
    assert_eq!(names.general_names, [GeneralName::DNSName(NAME)]);
    assert!(parsed.extended_key_usage().unwrap().unwrap().value.server_auth);
    assert!(!parsed.is_ca());
    let days = (parsed.validity().not_after - parsed.validity().not_before).unwrap();
    assert_eq!(days.whole_days(), 8);
}

#[tokio::test]
async fn both_sides_agree_on_http_2_before_http_1() {
    async fn check(client: &[&[u8]], expect: Option<&[u8]>) {
        let state = state();
        let mut config = (*trusting(&state)).clone();
        config.alpn_protocols = client.iter().map(|it| it.to_vec()).collect();
        let seen = shake(config.into(), server_config(ca(&state)).unwrap(), NAME).await;
        assert_eq!(seen.server.unwrap().as_deref(), expect);
    }
    check(&ALPN, Some(b"h2")).await;
    check(&[b"http/1.1", b"h2"], Some(b"h2")).await;
    check(&[b"http/1.1"], Some(b"http/1.1")).await;
    check(&[], None).await;
}

#[tokio::test]
async fn a_client_that_offers_only_other_protocols_is_turned_away() {
    let state = state();
    let mut config = (*trusting(&state)).clone();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let seen = shake(config.into(), server_config(ca(&state)).unwrap(), NAME).await;
    assert_eq!(handshake_failure(&seen.server.unwrap_err()), HandshakeFailure::Protocol);
}

#[tokio::test]
async fn a_second_connection_resumes_the_session_of_its_name_only() {
    for version in [&version::TLS12, &version::TLS13] {
        let state = state();
        let server = server_config(ca(&state)).unwrap();
        let client = with_version(&trusting(&state), &state, version);
        let kind = async |name| {
            shake(Arc::clone(&client), Arc::clone(&server), name).await.client.unwrap().0
        };
        assert_eq!(kind(NAME).await, HandshakeKind::Full, "{version:?}");
        assert_eq!(kind(NAME).await, HandshakeKind::Resumed, "{version:?}");
        assert_eq!(kind("api.anthropic.com").await, HandshakeKind::Full, "{version:?}");
    }
}

#[tokio::test]
async fn without_a_server_name_there_is_no_certificate() {
    let state = state();
    let server = server_config(ca(&state)).unwrap();
    let mut config = (*trusting(&state)).clone();
    config.enable_sni = false;
    let seen = shake(config.into(), Arc::clone(&server), NAME).await;
    assert_eq!(handshake_failure(&seen.server.unwrap_err()), HandshakeFailure::Protocol);
    seen.client.unwrap_err();
    let seen = shake(trusting(&state), server, "127.0.0.1").await;
    seen.client.unwrap_err();
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_ca_is_recognized() {
    let (ours, other) = (state(), state());
    let client = trusting(&other);
    for version in [&version::TLS12, &version::TLS13] {
        let client = with_version(&client, &other, version);
        let seen = shake(client, server_config(ca(&ours)).unwrap(), NAME).await;
        let failure = handshake_failure(&seen.server.unwrap_err());
        assert_eq!(failure, HandshakeFailure::CaUntrusted, "{version:?}");
        assert_eq!(failure.reason(), DenyReason::CaUntrusted);
    }
}

#[test]
fn failures_without_a_tls_error_are_told_by_their_kind() {
    let io = |kind: io::ErrorKind| io::Error::from(kind);
    let timeout = io(io::ErrorKind::TimedOut);
    assert_eq!(handshake_failure(&timeout), HandshakeFailure::Timeout);
    let gone = io(io::ErrorKind::UnexpectedEof);
    assert_eq!(handshake_failure(&gone), HandshakeFailure::Aborted);
    assert_eq!(upstream_failure(&gone), UpstreamFailure::Unreachable);
    let wrapped = io::Error::other(io::Error::other(rustls::Error::NoCertificatesPresented));
    assert_eq!(upstream_failure(&wrapped), UpstreamFailure::Certificate);
}

#[tokio::test]
async fn a_leaf_is_kept_until_the_day_before_its_end() {
    let state = state();
    let clock = Clock::days_from_now(0);
    let minter = Minter::new(ca(&state), Arc::clone(&clock) as Arc<dyn TimeProvider>).unwrap();
    let now = |name| serial(&minter.leaf(name).unwrap().cert[0]);
    let first = now(NAME);
    assert_ne!(now("api.anthropic.com"), first);
    clock.advance(5);
    assert_eq!(now(NAME), first);
    clock.advance(1);
    let second = now(NAME);
    assert_ne!(second, first);
    assert_eq!(now(NAME), second);
    *clock.0.lock().unwrap() -= 3 * DAY;
    assert_ne!(now(NAME), second, "a leaf that is not yet valid by a clock set back");
}

#[test]
fn no_leaf_outlives_the_ca() {
    let state = state();
    let ca = ca(&state);
    let end = i64::try_from(ca.not_after().as_secs()).unwrap();
    let minter = Minter::new(ca, Clock::days_from_now(3650)).unwrap();
    let leaf = minter.leaf(NAME).unwrap();
    let (_, parsed) = X509Certificate::from_der(&leaf.cert[0]).unwrap();
    assert_eq!(parsed.validity().not_after.timestamp(), end);
}

#[test]
fn names_longer_than_a_common_name_get_a_leaf() {
    let state = state();
    let minter = Minter::new(ca(&state), Clock::days_from_now(0)).unwrap();
    let name = format!("{0}.{0}.example", "a".repeat(60));
    let leaf = minter.leaf(&name).unwrap();
    let (_, parsed) = X509Certificate::from_der(&leaf.cert[0]).unwrap();
    assert!(parsed.subject_alternative_name().unwrap().unwrap().critical);
}

#[tokio::test]
async fn a_wrong_upstream_certificate_is_told_from_an_unreachable_upstream() {
    async fn check(client: Arc<ClientConfig>, server: Arc<ServerConfig>, expect: UpstreamFailure) {
        let error = shake(client, server, NAME).await.client.unwrap_err();
        assert_eq!(upstream_failure(&error), expect, "{error}");
    }
    let (ours, other) = (state(), state());
    let old = Clock::days_from_now(-60).current_time().unwrap();
    drop(Ca::open_or_create_at(ours.path(), old).unwrap());
    drop(ca(&other));
    let fresh = || server_config(ca(&ours)).unwrap();
    shake(trusting(&ours), fresh(), NAME).await.client.unwrap();
    // Unknown issuer.
    check(trusting(&other), fresh(), UpstreamFailure::Certificate).await;
    // Expired.
    let expired = server_config_at(ca(&ours), Clock::days_from_now(-30)).unwrap();
    check(trusting(&ours), expired, UpstreamFailure::Certificate).await;
    // Another name.
    let minter = Minter::new(ca(&ours), Clock::days_from_now(0)).unwrap();
    let mut wrong = (*fresh()).clone();
    let leaf = (*minter.leaf("other.example").unwrap()).clone();
    wrong.cert_resolver = Arc::new(SingleCertAndKey::from(leaf));
    check(trusting(&ours), wrong.into(), UpstreamFailure::Certificate).await;
    // No common protocol: the fault is not the certificate's.
    let mut odd = (*fresh()).clone();
    odd.alpn_protocols = vec![b"other".to_vec()];
    check(trusting(&ours), odd.into(), UpstreamFailure::Unreachable).await;
}

#[test]
fn roots_that_cannot_be_used_are_an_error_that_names_the_file() {
    fn check(content: &str) {
        let state = state();
        let path = state.path().join("roots.pem");
        fs::write(&path, content).unwrap();
        let text = client_config(&[Root::File(path)]).unwrap_err().to_string();
        assert!(text.contains("roots.pem` does not hold CA certificates"), "{text}");
    }
    check("");
    check("no certificate here");
    check("-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n");
    let state = state();
    let good = ca(&state).certificate_pem().to_owned();
    check(&format!("{good}-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"));
    let missing = client_config(&[Root::File("/nonexistent/roots.pem".into())]).unwrap_err();
    assert_eq!(missing.to_string(), "failed to open `/nonexistent/roots.pem`");
    assert!(matches!(client_config(&[]).unwrap_err(), Error::NoRoots));
}

/// The first bytes a client with this configuration sends.
fn hello_bytes(config: ClientConfig, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn any_client() -> ClientConfig {
    (*trusting(&state())).clone()
}

#[test]
fn a_hello_shows_its_name_in_lower_case_and_its_protocols() {
    let bytes = hello_bytes(any_client(), "API.OpenAI.com");
    let expect = Hello {
        server_name: Some(NAME.to_owned()),
        alpn: ALPN.iter().map(|it| it.to_vec()).collect(),
        has_ech: false,
    };
    assert_eq!(parse_hello(&bytes), HelloParse::Hello(expect.clone()));
    for cut in 0..bytes.len() {
        assert_eq!(parse_hello(&bytes[..cut]), HelloParse::NeedMore, "{cut}");
    }
    // The same hello spread over records of 100 bytes, with bytes of the next message behind it.
    let mut records = Vec::new();
    for part in bytes[5..].chunks(100) {
        records.extend([22, 3, 1, 0, u8::try_from(part.len()).unwrap()]);
        records.extend(part);
    }
    assert_eq!(parse_hello(&records), HelloParse::Hello(expect));
}

#[test]
fn a_hello_without_a_name_has_none() {
    let mut config = any_client();
    config.enable_sni = false;
    config.alpn_protocols.clear();
    assert_eq!(parse_hello(&hello_bytes(config, NAME)), HelloParse::Hello(Hello::default()));
    let HelloParse::Hello(hello) = parse_hello(&hello_bytes(any_client(), "192.0.2.1")) else {
        panic!("no hello");
    };
    assert_eq!(hello.server_name, None);
}

#[test]
fn an_encrypted_hello_is_seen() {
    let suite = hpke::ALL_SUPPORTED_SUITES[0];
    let (key, _) = suite.generate_key_pair().unwrap();
    let grease = EchMode::Grease(EchGreaseConfig::new(suite, key));
    let config = ClientConfig::builder_with_provider(provider())
        .with_ech(grease)
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let HelloParse::Hello(hello) = parse_hello(&hello_bytes(config, NAME)) else {
        panic!("no hello");
    };
    assert!(hello.has_ech);
    assert_eq!(hello.server_name.as_deref(), Some(NAME));
}

#[test]
fn what_is_no_hello_is_told_apart() {
    assert_eq!(parse_hello(b""), HelloParse::NeedMore);
    assert_eq!(parse_hello(b"GET / HTTP/1.1\r\n"), HelloParse::NotTls);
    assert_eq!(parse_hello(b"\x16\x03\x01\x00\x05hello"), HelloParse::Invalid);
    // A hello that claims to be longer than we look.
    let mut endless = vec![22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
    endless.resize(limits::SNIFF_BYTES_MAX, 0);
    assert_eq!(parse_hello(&endless), HelloParse::Invalid);
}

#[test]
fn no_change_of_a_byte_makes_a_hello_panic() {
    let bytes = hello_bytes(any_client(), NAME);
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            let _any_is_fine = parse_hello(&bytes);
        }
    }
}

fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("SKIPPED: {} is not installed: {error}", command.get_program().display());
            None
        }
    }
}

#[test]
fn openssl_accepts_the_leaf_under_its_strict_rules() {
    let state = state();
    let leaf = Minter::new(ca(&state), Clock::days_from_now(0)).unwrap().leaf(NAME).unwrap();
    let path = state.path().join("leaf.pem");
    fs::write(&path, super::ca::to_pem(&leaf.cert[0])).unwrap();
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", NAME]);
    command.arg("-CAfile").arg(state.path().join("ca/ca.pem")).arg(path);
    if let Some(output) = run(&mut command) {
        assert!(output.status.success(), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_accepts_the_leaf_with_our_ca_and_says_so_without_it() {
    let (ours, other) = (state(), state());
    drop(ca(&other));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(server_config(ca(&ours)).unwrap());
    for (trusted, is_accepted) in [(&ours, true), (&other, false)] {
        let mut command = Command::new("curl");
        command.args(["--silent", "--http1.1", "--noproxy", "*", "--max-time", "20"]);
        command.arg("--resolve").arg(format!("{NAME}:{port}:127.0.0.1"));
        command.arg("--cacert").arg(trusted.path().join("ca/ca.pem"));
        command.arg(format!("https://{NAME}:{port}/"));
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await?;
            let mut head = [0; 1024];
            assert!(stream.read(&mut head).await? > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await?;
            stream.flush().await
        };
        let mut serving = std::pin::pin!(serving);
        let mut asking = tokio::task::spawn_blocking(move || run(&mut command));
        // Either side may be the first to end: curl leaves with its alert still unread.
        let (served, output): (io::Result<()>, _) = tokio::select! {
            served = &mut serving => (served, asking.await.unwrap()),
            output = &mut asking => match output.unwrap() {
                Some(output) => (serving.await, Some(output)),
                None => return,
            },
        };
        let output = output.unwrap();
        if is_accepted {
            served.unwrap();
            assert_eq!(output.stdout, b"hi", "{output:?}");
        } else {
            assert_eq!(output.status.code(), Some(60), "{output:?}");
            assert_eq!(handshake_failure(&served.unwrap_err()), HandshakeFailure::CaUntrusted);
        }
    }
}
