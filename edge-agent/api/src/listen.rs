//! The listening sockets.
//!
//! The Unix socket is made in a directory that only the agent can enter, given mode 0600, and only then
//! moved to its name: at no moment can somebody else connect to it. A socket file that a crash left behind
//! is replaced; one that answers is another agent's and is left alone.

use crate::ServeError;
use crate::crowd::Peer;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Takes a connection of the TCP door.
pub(crate) async fn accept_tcp(listener: &TcpListener) -> io::Result<(TcpStream, Peer)> {
    let (stream, peer) = listener.accept().await?;
    // Events are small and wanted at once.
    stream.set_nodelay(true)?;
    Ok((stream, Some(peer.ip().to_canonical())))
}

/// The socket door; its file goes when it is dropped.
pub(crate) struct SocketDoor {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, to know it again.
    identity: (u64, u64),
}

impl SocketDoor {
    /// Binds `path`.
    pub(crate) async fn open(path: &Path) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Socket { path: path.to_owned(), source };
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(there) if !there.file_type().is_socket() => {
                let why = "something that is not a socket is in the way; it is left alone";
                return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, why)));
            }
            Ok(_) => {
                if UnixStream::connect(path).await.is_ok() {
                    return Err(ServeError::AlreadyRunning { path: path.to_owned() });
                }
            }
        }
        bind_private(path).map_err(failed)
    }

    /// Takes a connection. Whoever may open the socket is one peer.
    pub(crate) async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        self.listener.accept().await.map(|(stream, _)| (stream, None))
    }
}

impl Drop for SocketDoor {
    fn drop(&mut self) {
        // Another agent may have put its own socket there since.
        if identity(&self.path).is_ok_and(|there| there == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|there| (there.dev(), there.ino()))
}

fn bind_private(path: &Path) -> io::Result<SocketDoor> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    // A short name, since a socket's path has little room; by process, so that two starts do not meet.
    let private = parent.join(format!(".e{}", std::process::id()));
    if private.is_dir() {
        // Left by a crashed process that had the same number.
        fs::remove_dir_all(&private)?;
    }
    DirBuilder::new().mode(0o700).create(&private)?;
    let bound = bind_in(&private, path);
    // Empty by now, unless the binding failed.
    let _ = fs::remove_dir_all(&private);
    bound
}

fn bind_in(private: &Path, path: &Path) -> io::Result<SocketDoor> {
    let made = private.join("s");
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    let identity = identity(&made)?;
    fs::rename(&made, path)?;
    Ok(SocketDoor { listener, path: path.to_owned(), identity })
}
