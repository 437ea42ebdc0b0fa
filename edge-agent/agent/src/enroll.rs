//! `engawa enroll`: joins the cloud with a one-time claim code.
#![allow(clippy::print_stdout, reason = "standard output is where the answer goes")]

use crate::config::Loaded;
use anyhow::{Context, bail};
use engawa_link::{ClaimCode, Identity};
use std::io::BufRead;

/// Redeems `code` and keeps the identity.
pub(crate) fn enroll(loaded: &Loaded, code: &str, replace: bool) -> anyhow::Result<()> {
    let Some(cloud) = &loaded.config.cloud else {
        bail!("the configuration has no [cloud] section: add one with `address` and `identity_dir`");
    };
    if let (false, Ok(identity)) = (replace, Identity::load(&cloud.identity_dir)) {
        bail!(
            "this gateway is enrolled already, as `{}`: use --replace to give that identity up",
            identity.gateway
        );
    }
    let code = if code == "-" {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("reading the claim code from standard input")?;
        line
    } else {
        code.to_owned()
    };
    let code: ClaimCode = code.trim().parse().context("the claim code")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let identity = runtime
        .block_on(engawa_link::enroll(cloud.line(), &code, &cloud.identity_dir))
        .with_context(|| format!("enrolling with {}", cloud.named()))?;
    println!("enrolled as `{}`; the identity is in {}", identity.gateway, cloud.identity_dir.display());
    Ok(())
}
