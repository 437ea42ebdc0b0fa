//! The file of the AuthKey: read at each connection, never a long one.
#![allow(clippy::unwrap_used, reason = "tests")]

mod site;

use engawa_pms::PmsConfig;
use site::{Pms, Site};
use tokio::net::TcpListener;

const KEY: &str = "GVDpVnl6qYlTQXQJZxXdbw==";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_thousand_and_twenty_four_bytes_is_read_and_a_longer_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth-key");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let config = || PmsConfig { auth_key_file: Some(file.clone()), ..PmsConfig::new(&address) };

    // Blanks and line ends around the key are none of it.
    for length in [KEY.len(), 1024] {
        std::fs::write(&file, format!("{KEY:<length$}")).unwrap();
        let site = Site::start(config());
        let (stream, _) = listener.accept().await.unwrap();
        let description = Pms::new(stream).start().await;
        assert!(description.contains("|RT1|CGFidCryptAB;"), "{length} bytes: {description}");
        site.link(true, "alive").await;
        site.stop().await;
    }
    std::fs::write(&file, format!("{KEY:<1025}")).unwrap();
    let site = Site::start(config());
    site.link(false, "1025 bytes are too many for an AuthKey").await;
    site.stop().await;
    std::fs::remove_file(&file).unwrap();
    let site = Site::start(config());
    site.link(false, "auth-key: ").await;
    site.stop().await;
}
