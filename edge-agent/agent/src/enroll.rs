//! `engawa enroll`: joins the cloud with a one-time claim code.
#![allow(clippy::print_stdout, reason = "standard output is where the answer goes")]

use crate::config::Loaded;
use anyhow::{Context, bail};
use engawa_link::{ClaimCode, Enrolment, Identity, KeyPlace};
use std::io::BufRead;

/// How it joins.
#[derive(clap::Args)]
pub(crate) struct Wishes {
    /// The property that this gateway is meant for: a code of another one is refused, and not used up.
    #[arg(long, value_name = "ID")]
    property: Option<String>,
    /// Where the private key is made: file, tpm, tpm:device:/dev/tpmrm0, tpm:swtpm:host=HOST,port=PORT or
    /// tpm:swtpm:path=SOCKET. Without it, where the configuration says ([cloud] key), or in a file.
    #[arg(long, value_name = "PLACE")]
    key: Option<KeyPlace>,
    /// Replace an identity that is already there.
    #[arg(long)]
    replace: bool,
}

/// Redeems `code` and keeps the identity.
pub(crate) fn enroll(loaded: &Loaded, code: &str, wishes: &Wishes) -> anyhow::Result<()> {
    let Some(cloud) = &loaded.config.cloud else {
        bail!("the configuration has no [cloud] section: add one with `address` and `identity_dir`");
    };
    let before = Identity::load(&cloud.identity_dir).ok().map(|identity| identity.gateway.clone());
    if let (false, Some(gateway)) = (wishes.replace, &before) {
        bail!("this gateway is enrolled already, as `{gateway}`: use --replace to give that identity up");
    }
    // Renewals follow the configuration: a key that was asked for elsewhere would not stay there.
    if let (Some(wanted), Some(configured)) = (&wishes.key, cloud.keys())
        && *wanted != configured
    {
        bail!("--key says {wanted}, the configuration {configured} ([cloud] key): make them the same");
    }
    let keys = wishes.key.clone().or_else(|| cloud.keys());
    let code = if code == "-" {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("reading the claim code from standard input")?;
        line
    } else {
        code.to_owned()
    };
    let code: ClaimCode = code.trim().parse().context("the claim code")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wanted = Enrolment { keys, property: wishes.property.clone() };
    let joined = runtime
        .block_on(engawa_link::enroll_with(cloud.line(), &code, &cloud.identity_dir, &wanted))
        .with_context(|| format!("enrolling with {}", cloud.named()))?;
    let identity = joined.identity;
    let property = joined.property.map_or_else(
        || "a property that this cloud does not name".to_owned(),
        |property| format!("property `{property}`"),
    );
    let region = identity.peer().and_then(|peer| peer.region);
    let region = region.map_or_else(|| "no region".to_owned(), |region| format!("region `{region}`"));
    println!("enrolled as `{}` of {property}, {region}", identity.gateway);
    println!(
        "the identity is in {}, its private key in: {}",
        cloud.identity_dir.display(),
        identity.key_place()
    );
    if let Some(before) = before {
        replaced(loaded, &before, &identity.gateway);
    }
    Ok(())
}

/// What whoever gives an identity up must know; on standard error, since it is no answer.
fn replaced(loaded: &Loaded, before: &str, now: &str) {
    if engawa_store::is_in_use(&loaded.config.store.dir).unwrap_or(false) {
        eprintln!("the agent is running and goes on as `{before}`: restart it (systemctl restart engawa)");
    }
    if before != now {
        eprintln!(
            "what the cloud has of `{before}` stays there, and what of it is still in the journal comes once more as `{now}`. A \
             guest who is erased from now on is erased at `{now}` alone: erase those who are in the house or were lately \
             before you change the name, or clear the cloud of `{before}` by hand"
        );
    }
}
