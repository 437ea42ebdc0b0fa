//! Connections: what the URL says, TLS, the pools and their bounds.

use crate::store::StoreError;
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long somebody may wait for a free connection; then the store is not available.
const WAIT: Duration = Duration::from_secs(10);
/// Connections for everything but rows.
const QUESTIONS: usize = 8;
/// Connections that take rows in, each with one transaction at a time.
pub(crate) const INTAKE: usize = 4;

/// What every session sets. A replica that hangs must not hold locks for ever; what is acknowledged must be durable
/// whatever the server's default is (a stricter one, such as `remote_apply`, stays).
const SESSION: &str = "SET lock_timeout = '10s'; SET statement_timeout = '60s';
    SET idle_in_transaction_session_timeout = '60s'; SET jit = off;
    SELECT set_config('synchronous_commit', 'on', false)
     WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// Where a database is, and how it is spoken to.
#[derive(Clone)]
pub struct Address {
    pub(crate) config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        write!(f, "{self}")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .enumerate()
            .map(|(n, host)| {
                let port = self.config.get_ports();
                let port = port.get(n).or(port.first()).copied().unwrap_or(5432);
                match host {
                    Host::Tcp(name) => format!("{name}:{port}"),
                    Host::Unix(path) => format!("{}:{port}", path.display()),
                }
            })
            .collect();
        write!(f, "{} at {}", self.config.get_dbname().unwrap_or("?"), hosts.join(","))
    }
}

impl Address {
    /// Reads a URL such as `postgres://engawa@db.example:5432/engawa?sslmode=verify-full`.
    ///
    /// `sslmode` is `disable`, `require`, `verify-ca` or `verify-full`; where there is TLS the server's certificate and
    /// name are always verified, against `sslrootcert` or the system's authorities. Without `sslmode` there is TLS unless
    /// the server is on this machine. Several hosts may be named: the one that takes writes is used.
    ///
    /// # Errors
    /// What in the URL can't be used.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let wrong = |what: String| StoreError::DatabaseUrl(what);
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong("it does not begin with postgres://".to_owned()));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut root) = (None, None);
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match key.as_ref() {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => root = Some(PathBuf::from(value.as_ref())),
                _ => {
                    rest.append_pair(&key, &value);
                }
            }
        }
        // The driver reads percent signs, and no plus signs, in a query.
        let plain = format!("{base}?{}", rest.finish().replace('+', "%20"));
        let mut config: Config =
            plain.trim_end_matches('?').parse().map_err(|error: tokio_postgres::Error| {
                let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
                wrong(format!("{error}{why}"))
            })?;
        if config.get_dbname().is_none() {
            return Err(wrong(
                "it names no database; for example postgres://engawa@localhost/engawa".to_owned(),
            ));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_application_name().is_none() {
            config.application_name("engawa-cloud");
        }
        config
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .keepalives_idle(Duration::from_secs(20))
            .tcp_user_timeout(Duration::from_secs(20));
        let tls = match mode.as_deref() {
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            None => !config.get_hosts().iter().all(is_local),
            Some(other) => {
                return Err(wrong(format!(
                    "sslmode is `{other}`; it may be disable, require, verify-ca or verify-full"
                )));
            }
        };
        config.ssl_mode(if tls {
            tokio_postgres::config::SslMode::Require
        } else {
            tokio_postgres::config::SslMode::Disable
        });
        let tls = if tls { Some(connector(root.as_deref())?) } else { None };
        Ok(Self { config, tls })
    }

    fn pool(&self, size: usize) -> Result<Pool, StoreError> {
        let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Some(tls) => Manager::from_config(self.config.clone(), tls.clone(), settings),
            None => Manager::from_config(self.config.clone(), NoTls, settings),
        };
        let prepare = Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
        });
        Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .recycle_timeout(Some(CONNECT))
            .post_create(prepare)
            .build()
            .map_err(|error| StoreError::DatabaseUrl(error.to_string()))
    }

    /// A connection of its own, with its driver: for whoever listens.
    pub(crate) async fn alone(
        &self,
    ) -> Result<(tokio_postgres::Client, futures::stream::BoxStream<'static, Message>), StoreError> {
        let doing = StoreError::postgres("connecting to PostgreSQL");
        Ok(match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(doing)?;
                (client, messages(connection))
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(doing)?;
                (client, messages(connection))
            }
        })
    }
}

pub(crate) type Message = Result<tokio_postgres::AsyncMessage, tokio_postgres::Error>;

fn messages<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
) -> futures::stream::BoxStream<'static, Message>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    Box::pin(futures::stream::poll_fn(move |context| connection.poll_message(context)))
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

fn connector(root: Option<&Path>) -> Result<MakeRustlsConnect, StoreError> {
    let mut roots = rustls::RootCertStore::empty();
    match root {
        Some(path) => {
            let fault =
                |why: String| StoreError::DatabaseUrl(format!("sslrootcert {}: {why}", path.display()));
            for certificate in
                CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?
            {
                roots
                    .add(certificate.map_err(|error| fault(error.to_string()))?)
                    .map_err(|error| fault(error.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(StoreError::DatabaseUrl(
            "TLS is wanted, and there is no authority to trust: name one with sslrootcert=FILE".to_owned(),
        ));
    }
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| StoreError::DatabaseUrl(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// A database that is spoken to: pooled connections, opened when needed.
#[derive(Clone)]
pub struct Store {
    address: Address,
    questions: Pool,
    intake: Pool,
}

impl Store {
    /// The database at `address`; nothing is connected yet.
    ///
    /// # Errors
    /// A pool that can't be made.
    pub fn new(address: Address) -> Result<Self, StoreError> {
        Ok(Self { questions: address.pool(QUESTIONS)?, intake: address.pool(INTAKE)?, address })
    }

    /// The database, if its schema is one that this release can work with.
    ///
    /// # Errors
    /// A server that does not answer, or a schema that is absent, older, or newer than this release bears.
    pub async fn open(address: Address) -> Result<Self, StoreError> {
        let store = Self::new(address)?;
        super::migrations::require(&store.client().await?).await?;
        Ok(store)
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A connection for a question.
    ///
    /// # Errors
    /// None came free in time, or the server does not answer.
    pub async fn client(&self) -> Result<Object, StoreError> {
        self.questions.get().await.map_err(StoreError::Pool)
    }

    pub(crate) async fn intake(&self) -> Result<Object, StoreError> {
        self.intake.get().await.map_err(StoreError::Pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_the_server_is_spoken_to() {
        for (url, tls) in [
            ("postgres://engawa@localhost/engawa", false),
            ("postgresql://engawa:s%20e@127.0.0.1:5433/engawa?connect_timeout=3", false),
            ("postgres://engawa@db.example/engawa?sslmode=disable", false),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.tls.is_some(), tls, "{url}");
        }
        for (url, why) in [
            ("mysql://x/y", "postgres://"),
            ("postgres://engawa@localhost", "names no database"),
            ("postgres://engawa@localhost/x?sslmode=prefer", "`prefer`"),
            ("postgres://engawa@localhost/x?colour=red", "colour"),
            ("postgres://engawa@db.example/x?sslrootcert=/nowhere.pem", "/nowhere.pem"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let address = Address::parse("postgres://engawa:topsecret@localhost:5433/engawa").unwrap();
        assert_eq!(address.to_string(), "engawa at localhost:5433");
        assert!(!format!("{address:?}").contains("topsecret"));
    }
}
