//! The broker's socket and its connections.
//!
//! Why not the server of the crate `mqtt5`: it can bridge to other brokers, ask identity providers for their keys and read
//! its configuration anew, and as it decides that while it runs, all of it is in the program, with an HTTPS client and
//! regular expressions: megabytes on the board's disk. What is said on a connection is the crate's; here is only what
//! accepts, tidies and ends.
//!
//! Never: keeps a session on disk.

use super::{MAX_CLIENTS, MAX_QUEUED, MAX_QUEUED_BYTES, MAX_RETAINED};
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::QueueLimits;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::broker::{
    AuthProvider, BrokerConfig, BrokerEventHandler, DynamicStorage, MemoryBackend, ResourceLimits,
    ResourceMonitor, StorageBackend,
};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// New connections a second; more are refused. After a power cut a whole house connects at once.
const MAX_RATE: u32 = 10_000;
/// How long connections may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often counts of past seconds are forgotten.
const TIDY: Duration = Duration::from_mins(1);
/// How many of these pass before sessions and retained messages are looked through for what has expired.
const SWEEP_EVERY: u64 = 60;
/// How long no connection is taken after one could not be: without descriptors the next would fail at once.
const PAUSE: Duration = Duration::from_millis(200);

/// A broker whose socket is bound.
pub(super) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: Arc<BrokerConfig>,
    router: Arc<MessageRouter>,
    auth: Arc<dyn AuthProvider>,
    storage: Arc<DynamicStorage>,
    stats: Arc<BrokerStats>,
    resources: Arc<ResourceMonitor>,
}

impl Server {
    /// Binds the address; clients are served by [`Self::serve`].
    ///
    /// # Errors
    /// The system's, for the socket.
    pub(super) async fn bind(
        listen: SocketAddr,
        config: BrokerConfig,
        events: Arc<dyn BrokerEventHandler>,
        auth: Arc<dyn AuthProvider>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let queues = QueueLimits { max_messages: MAX_QUEUED, max_bytes: MAX_QUEUED_BYTES };
        let storage = Arc::new(DynamicStorage::Memory(MemoryBackend::with_queue_limits(queues)));
        // A message's size is bounded by the packet's.
        let router = MessageRouter::with_storage(Arc::clone(&storage))
            .with_fallback_queue_limits(queues)
            .with_event_handler(Arc::clone(&events))
            .with_retained_limits(MAX_RETAINED, 0);
        let resources = ResourceMonitor::new(ResourceLimits {
            max_connections: MAX_CLIENTS,
            // A site's bridge may have all devices behind one address.
            max_connections_per_ip: MAX_CLIENTS,
            max_message_rate_per_client: 0,
            max_bandwidth_per_client: 0,
            max_connection_rate: MAX_RATE,
            rate_limit_window: Duration::from_secs(1),
        });
        Ok(Self {
            listener,
            address,
            config: Arc::new(config.with_event_handler(events)),
            router: Arc::new(router),
            auth,
            storage,
            stats: Arc::new(BrokerStats::new()),
            resources: Arc::new(resources),
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `cancel`; then connections have [`LAST_WORDS`] to end.
    pub(super) async fn serve(self, cancel: CancellationToken) {
        // Where this future is dropped, the sender goes, and connections end by that.
        let (stop, _) = broadcast::channel(1);
        let connections = TaskTracker::new();
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.accept(&stop, &connections) => {}
            () = self.tidy() => {}
        }
        // Nobody listens where there is no connection.
        let _ = stop.send(());
        connections.close();
        if tokio::time::timeout(LAST_WORDS, connections.wait()).await.is_err() {
            tracing::warn!(open = connections.len(), "connections to the broker did not end in time");
        }
    }

    /// Takes connections, for ever.
    async fn accept(&self, stop: &broadcast::Sender<()>, connections: &TaskTracker) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) if self.resources.can_accept_connection(from.ip()).await => {
                    connections.spawn(self.connection(stream, from, stop.subscribe()));
                }
                Ok((_, from)) => {
                    tracing::warn!(%from, most = MAX_CLIENTS, "the broker has too many connections: one more is refused");
                }
                Err(error) => {
                    tracing::warn!(%error, "the broker can't take a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// One connection until its end.
    fn connection(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        stop: broadcast::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + 'static {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%from, %error, "a connection to the broker is not set to send at once");
        }
        let handler = ClientHandler::new(
            BrokerTransport::tcp(stream),
            from,
            Arc::clone(&self.config),
            Arc::clone(&self.router),
            Arc::clone(&self.auth),
            Some(Arc::clone(&self.storage)),
            Arc::clone(&self.stats),
            Arc::clone(&self.resources),
            stop,
        );
        async move {
            match handler.run().await {
                Err(error) if !error.is_normal_disconnect() => {
                    tracing::warn!(%from, %error, "a connection to the broker failed");
                }
                _ => tracing::debug!(%from, "a connection to the broker has ended"),
            }
        }
    }

    /// Forgets what has expired, for ever.
    async fn tidy(&self) {
        for turn in 1_u64.. {
            tokio::time::sleep(TIDY).await;
            self.resources.cleanup_expired_windows().await;
            if turn.is_multiple_of(SWEEP_EVERY) {
                if let Err(error) = self.storage.cleanup_expired().await {
                    tracing::warn!(%error, "the broker can't forget what has expired");
                }
                self.router.sweep_sessions().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt5::broker::auth::AllowAllAuthProvider;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    struct Nothing;

    impl BrokerEventHandler for Nothing {}

    const DEADLINE: Duration = Duration::from_secs(10);

    /// A client of MQTT 3.1.1 that is let in.
    async fn connected(address: SocketAddr) -> TcpStream {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a").await.unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0x20, 2, 0, 0]);
        client
    }

    /// Nothing more comes from the broker: it has closed the connection.
    async fn closed(mut client: TcpStream) {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(DEADLINE, client.read_to_end(&mut rest)).await;
        // A reset is an end, too.
        assert!(ended.is_ok() && rest.is_empty(), "{rest:?}");
    }

    async fn bound() -> Server {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Server::bind(anywhere, BrokerConfig::default(), Arc::new(Nothing), Arc::new(AllowAllAuthProvider))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn connections_end_with_the_broker_and_its_port_is_free_again() {
        let server = bound().await;
        let (address, cancel) = (server.address(), CancellationToken::new());
        let serving = tokio::spawn(server.serve(cancel.clone()));
        let client = connected(address).await;
        cancel.cancel();
        closed(client).await;
        tokio::time::timeout(DEADLINE, serving).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn connections_end_where_the_broker_is_dropped() {
        let server = bound().await;
        let address = server.address();
        let serving = tokio::spawn(server.serve(CancellationToken::new()));
        let client = connected(address).await;
        serving.abort();
        closed(client).await;
    }

    #[tokio::test]
    async fn one_connection_too_many_is_refused() {
        let mut server = bound().await;
        server.resources = Arc::new(ResourceMonitor::new(ResourceLimits {
            max_connections: 1,
            ..ResourceLimits::default()
        }));
        let (address, cancel) = (server.address(), CancellationToken::new());
        let serving = tokio::spawn(server.serve(cancel.clone()));
        let client = connected(address).await;
        closed(TcpStream::connect(address).await.unwrap()).await;
        cancel.cancel();
        closed(client).await;
        serving.await.unwrap();
    }
}
