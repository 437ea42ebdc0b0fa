//! The store behind the link: what sessions ask, answered from the database.

use crate::store::{Readers, StoreError, Writer, commands, gateways, ingest};
use engawa_link::pki::CertificateAuthority;
use engawa_model::Timestamp;
use engawa_protocol::ports::{CloudStore, Enrolled, Ingested, Later, Refusal, Row, StoreFault};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long a gateway's certificate is valid. Revocation does not wait for it: the database is asked at each connection
/// and every few seconds after. Renewal is not built yet, so the time is long.
const CERTIFICATE_VALID: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The database and the authority, as the link wants them. SQLite blocks, so it is asked off the async threads.
pub struct End {
    file: Arc<OneFile>,
}

struct OneFile {
    writer: Writer,
    readers: Readers,
    authority: CertificateAuthority,
}

impl End {
    /// Over the database `path`, whose writer is `writer`.
    pub fn new(path: PathBuf, writer: Writer, authority: CertificateAuthority) -> Self {
        Self { file: Arc::new(OneFile { writer, readers: Readers::new(path), authority }) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&OneFile) -> T + Send + 'static,
    ) -> Result<T, StoreFault> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || ask(&file))
            .await
            .map_err(|error| StoreFault::new("asking the cloud's database", error))
    }
}

impl CloudStore for End {
    fn hello<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        heads: &'a [(u8, u64)],
    ) -> Later<'a, Result<Vec<(u8, u64)>, Refusal>> {
        let (gateway, heads) = (gateway.to_owned(), heads.to_owned());
        Box::pin(async move {
            self.blocking(move |file| file.hello(&gateway, epoch, &heads))
                .await
                .unwrap_or(Err(Refusal::Unavailable))
        })
    }

    fn ingest<'a>(
        &'a self,
        gateway: &'a str,
        epoch: u64,
        lane: u8,
        rows: Vec<Row>,
    ) -> Later<'a, Result<Ingested, StoreFault>> {
        let gateway = gateway.to_owned();
        Box::pin(async move { self.blocking(move |file| file.ingest(&gateway, epoch, lane, rows)).await? })
    }

    fn commands<'a>(
        &'a self,
        gateway: &'a str,
        after: u64,
        max: usize,
    ) -> Later<'a, Result<Vec<Row>, StoreFault>> {
        let gateway = gateway.to_owned();
        Box::pin(async move { self.blocking(move |file| file.commands(&gateway, after, max)).await? })
    }

    fn commands_acknowledged<'a>(&'a self, gateway: &'a str, mark: u64) -> Later<'a, Result<(), StoreFault>> {
        let gateway = gateway.to_owned();
        Box::pin(async move { self.blocking(move |file| file.commands_acknowledged(&gateway, mark)).await? })
    }

    fn enrol<'a>(&'a self, claim_secret: &'a str, csr_pem: &'a str) -> Later<'a, Result<Enrolled, Refusal>> {
        let (secret, csr) = (claim_secret.to_owned(), csr_pem.to_owned());
        Box::pin(async move {
            self.blocking(move |file| file.enrol(&secret, &csr)).await.unwrap_or(Err(Refusal::Unavailable))
        })
    }

    fn admitted<'a>(&'a self, gateway: &'a str) -> Later<'a, bool> {
        let gateway = gateway.to_owned();
        // A database that does not answer admits nobody.
        Box::pin(async move { self.blocking(move |file| file.admitted(&gateway)).await.unwrap_or(false) })
    }

    fn seen<'a>(&'a self, gateway: &'a str, connected: bool, address: &'a str) -> Later<'a, ()> {
        let (gateway, address) = (gateway.to_owned(), address.to_owned());
        Box::pin(async move {
            // What can be said of a failure is said there.
            let _ = self.blocking(move |file| file.seen(&gateway, connected, &address)).await;
        })
    }
}

fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

fn fault(context: &'static str) -> impl Fn(StoreError) -> StoreFault {
    move |error| StoreFault::new(context, error)
}

impl OneFile {
    fn hello(&self, gateway: &str, epoch: u64, heads: &[(u8, u64)]) -> Result<Vec<(u8, u64)>, Refusal> {
        let greeted = self.readers.with(|connection| {
            let known = gateways::is_known_epoch(connection, gateway, epoch)?;
            Ok((ingest::hello(connection, gateway, epoch, heads)?, known))
        });
        let greeted = greeted.and_then(|(marks, known)| {
            if marks.is_ok() && !known {
                // Before any command goes out: what the lost disk may have done is not to be done again.
                let gateway = gateway.to_owned();
                self.writer
                    .run(move |connection| gateways::epoch_seen(connection, &gateway, epoch, now()))?;
            }
            Ok(marks)
        });
        greeted.unwrap_or_else(|error| {
            tracing::error!(%gateway, error = &error as &dyn std::error::Error, "a gateway could not be welcomed");
            Err(Refusal::Unavailable)
        })
    }

    fn ingest(&self, gateway: &str, epoch: u64, lane: u8, rows: Vec<Row>) -> Result<Ingested, StoreFault> {
        let gateway = gateway.to_owned();
        self.writer
            .run(move |connection| ingest::ingest(connection, &gateway, epoch, lane, &rows, now()))
            .map_err(fault("storing a gateway's rows"))
    }

    fn commands(&self, gateway: &str, after: u64, max: usize) -> Result<Vec<Row>, StoreFault> {
        self.readers
            .with(|connection| commands::after(connection, gateway, after, max))
            .map_err(fault("reading a gateway's commands"))
    }

    fn commands_acknowledged(&self, gateway: &str, mark: u64) -> Result<(), StoreFault> {
        if mark == 0 {
            return Ok(());
        }
        let gateway = gateway.to_owned();
        self.writer
            .run(move |connection| commands::acknowledged(connection, &gateway, mark, now()))
            .map_err(fault("marking commands as acknowledged"))
    }

    fn enrol(&self, claim_secret: &str, csr_pem: &str) -> Result<Enrolled, Refusal> {
        // Signed before the writer is asked, so that no gateway's rows wait for a signature; the writer looks again.
        let (secret, csr) = (claim_secret.to_owned(), csr_pem.to_owned());
        let claimed = self.readers.with(|connection| gateways::claimed(connection, &secret, &csr, now()));
        let gateway = claimed.map_err(|error| unavailable(&error))?.ok_or(Refusal::BadClaim)?;
        let from = SystemTime::now();
        let certificate = self
            .authority
            .sign_gateway(&gateway, &csr, from, from + CERTIFICATE_VALID)
            .map_err(|error| Refusal::BadRequest(error.to_string()))?;
        let used = self.writer.run(move |connection| {
            gateways::enrol(connection, &secret, &csr, now(), |named| {
                if named == gateway { Ok(certificate) } else { Err(Refusal::BadClaim) }
            })
        });
        let (gateway, certificate_pem) = used.map_err(|error| unavailable(&error))??;
        tracing::info!(%gateway, "a gateway is enrolled");
        Ok(Enrolled { gateway, certificate_pem, ca_pem: self.authority.pem().to_owned() })
    }

    fn admitted(&self, gateway: &str) -> bool {
        self.readers.with(|connection| gateways::admitted(connection, gateway)).unwrap_or(false)
    }

    fn seen(&self, gateway: &str, connected: bool, address: &str) {
        let (gateway, address) = (gateway.to_owned(), address.to_owned());
        let seen = self
            .writer
            .run(move |connection| gateways::seen(connection, &gateway, connected, &address, now()));
        if let Err(error) = seen {
            tracing::warn!(error = &error as &dyn std::error::Error, "a gateway's presence was not noted");
        }
    }
}

fn unavailable(error: &StoreError) -> Refusal {
    tracing::error!(error = error as &dyn std::error::Error, "a claim could not be redeemed");
    Refusal::Unavailable
}
