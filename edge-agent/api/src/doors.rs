//! The two doors: binding them, serving each connection within bounds, closing them.
//!
//! Bounds: connections a door and of one peer (see [`crate::crowd`]: who has asked nothing makes room), event streams
//! ([`MAX_EVENT_STREAMS`]; more are answered 503), body ([`MAX_BODY`]; 413), a request's head (hyper's
//! buffer and header limits; 431), the time for its head and its answer ([`REQUEST_TIMEOUT`]).

use crate::board::Board;
use crate::crowd::{Crowd, MAX_CONNECTIONS, Peer};
use crate::guard::{self, Hosts};
use crate::listen::{self, SocketDoor};
use crate::routes::{self, Desk};
use crate::{ApiConfig, ApiConfigError, House};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use futures::future::BoxFuture;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pages that may be live at once.
pub const MAX_EVENT_STREAMS: usize = 32;
/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// How long a request's head may take to come in, and its answer to begin.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Header lines of a request.
const MAX_HEADERS: usize = 64;
/// How long open connections may go on when the agent stops: meanwhile nobody else is served.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long one may that has not asked for anything: browsers open some ahead.
const FIRST_WORD: Duration = Duration::from_millis(200);
/// How long a door waits after the system could not give it a connection (out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The doors could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is wrong.
    #[error("the [api] section can't be used")]
    Config(#[source] ApiConfigError),
    /// The TCP address can't be had.
    #[error("can't listen on {listen}")]
    Tcp {
        /// The address asked for.
        listen: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The Unix socket can't be had.
    #[error("can't listen on {}", path.display())]
    Socket {
        /// The path asked for.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another process answers on the Unix socket.
    #[error("another engawa is running: it answers on {}", path.display())]
    AlreadyRunning {
        /// The path asked for.
        path: PathBuf,
    },
}

/// Where the doors are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// The TCP door's address, with its real port.
    pub tcp: Option<SocketAddr>,
    /// The socket door's path.
    pub socket: Option<PathBuf>,
}

/// Which door a request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Tcp,
    Socket,
}

/// Opens the doors, and gives their addresses and the future that serves them. It ends soon after
/// `cancel` is cancelled, with all connections closed and the socket's file removed.
///
/// # Errors
/// A bad configuration, or an address that can't be had. Then no door is open.
pub async fn serve(
    config: &ApiConfig,
    house: Arc<dyn House>,
    cancel: CancellationToken,
) -> Result<(Bound, BoxFuture<'static, ()>), ServeError> {
    serve_on(None, config, house, cancel).await
}

/// As [`serve`], with a listener for the TCP door that is open already: whoever holds it keeps what comes while nobody serves.
///
/// # Errors
/// As [`serve`].
pub async fn serve_on(
    open: Option<std::net::TcpListener>,
    config: &ApiConfig,
    house: Arc<dyn House>,
    cancel: CancellationToken,
) -> Result<(Bound, BoxFuture<'static, ()>), ServeError> {
    config.validate().map_err(ServeError::Config)?;
    let mut bound = Bound::default();
    let tcp = match config.listen {
        Some(listen) => {
            let failed = |source| ServeError::Tcp { listen, source };
            let listener = match open {
                Some(open) => open.set_nonblocking(true).and_then(|()| TcpListener::from_std(open)),
                None => TcpListener::bind(listen).await,
            };
            let listener = listener.map_err(failed)?;
            bound.tcp = Some(listener.local_addr().map_err(failed)?);
            Some(listener)
        }
        None => None,
    };
    let socket = match &config.socket {
        Some(path) => {
            let door = SocketDoor::open(path).await?;
            bound.socket = Some(path.clone());
            Some(door)
        }
        None => None,
    };
    let hosts = if config.allow_remote { Hosts::AnyAddress } else { Hosts::Loopback };
    let board = Arc::new(Board::new(house));
    let places = Arc::new(Semaphore::new(MAX_EVENT_STREAMS));
    let desk = move |door| Desk {
        door,
        board: Arc::clone(&board),
        places: Arc::clone(&places),
        cancel: cancel.clone(),
    };
    let serving = async move {
        let tcp = async {
            if let Some(listener) = tcp {
                let desk = desk(Door::Tcp);
                let cancel = desk.cancel.clone();
                let app = guarded(
                    routes::router(desk)
                        .layer(from_fn(move |request, next| guard::check_host(hosts, request, next))),
                );
                accept_all(|| listen::accept_tcp(&listener), app, &cancel).await;
            }
        };
        let socket = async {
            if let Some(door) = &socket {
                let desk = desk(Door::Socket);
                let cancel = desk.cancel.clone();
                accept_all(|| door.accept(), guarded(routes::router(desk)), &cancel).await;
            }
        };
        tokio::join!(tcp, socket);
    };
    Ok((bound, Box::pin(serving)))
}

/// `router` behind what both doors have in front of them.
fn guarded(router: Router) -> Router {
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(|request, next| guard::limit_time(REQUEST_TIMEOUT, request, next)))
        .layer(from_fn(guard::secure))
}

/// Serves what `accept` gives until `cancel` is cancelled, then lets open connections finish for a while.
async fn accept_all<S, F>(accept: impl Fn() -> F, app: Router, cancel: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = io::Result<(S, Peer)>>,
{
    let tasks = TaskTracker::new();
    let crowd = Arc::new(Crowd::new());
    // Those who are closed for another's sake end at once: this bounds what still goes.
    let places = Arc::new(Semaphore::new(2 * MAX_CONNECTIONS));
    // Cancelled when the connections have had their time.
    let cut = CancellationToken::new();
    let accepting = async {
        loop {
            // Never closed, so this only waits.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match accept().await {
                Ok((stream, peer)) => {
                    // No place for it: its peer has as many as it may, and all of them are being served.
                    let Some(seat) = crowd.enter(peer) else { continue };
                    let (closed, asked) = (seat.closed(), seat.asked());
                    // A request that has come whole: from now on the connection is not closed for another's sake.
                    let app = app.clone().layer(from_fn(move |request: Request, next: Next| {
                        asked.set();
                        next.run(request)
                    }));
                    let connection = connection(stream, app, cancel.clone());
                    let cut = cut.clone();
                    tasks.spawn(async move {
                        tokio::select! {
                            () = connection => {}
                            () = cut.cancelled() => {}
                            () = closed.cancelled() => {}
                        }
                        drop((seat, place));
                    });
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "can't take a connection of the local API"
                    );
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    cancel.run_until_cancelled(accepting).await;
    tasks.close();
    if tokio::time::timeout(FIRST_WORD, tasks.wait()).await.is_ok() {
        return;
    }
    crowd.close_silent();
    if tokio::time::timeout(GOODBYE - FIRST_WORD, tasks.wait()).await.is_err() {
        cut.cancel();
        tasks.wait().await;
    }
}

/// Serves one connection. Errors are the peer's (it went away, it spoke nonsense) and tell nothing new.
async fn connection<S>(stream: S, app: Router, cancel: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection of the local API broke");
    }
}
