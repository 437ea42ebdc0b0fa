//! What stands in front of each request: the host check, the time limit, and the headers that tell a
//! browser what the page may do.
//!
//! Why a host check on a loopback address: a web page from anywhere can make the browser of a desk
//! computer ask its own name again until it resolves to 127.0.0.1 (DNS rebinding), and then read the
//! answers as its own. Such a request carries that name in `Host`. An IP address or `localhost` can't be
//! rebound, so only those pass. The port is not compared: through an SSH tunnel it is another one.

use crate::Problem;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Scripts and styles come from the binary only, nothing is loaded from elsewhere, nobody frames the page.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The headers of each answer.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Which hosts the TCP door answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// `localhost` and loopback addresses.
    Loopback,
    /// `localhost` and any IP address: names are what can be rebound.
    AnyAddress,
}

impl Hosts {
    /// Whether a request with this `Host` header may pass.
    pub(crate) fn allow(self, host: &str) -> bool {
        let Some(name) = without_port(host) else { return false };
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let address = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => name.parse().ok().filter(IpAddr::is_ipv4),
        };
        address.is_some_and(|address| self == Self::AnyAddress || address.to_canonical().is_loopback())
    }
}

/// `host` of `host[:port]`; `None` where the port is no number.
fn without_port(host: &str) -> Option<&str> {
    let Some((name, port)) = host.rsplit_once(':').filter(|_| !host.ends_with(']')) else {
        return Some(host);
    };
    (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

/// Refuses a request whose `Host` is missing, given twice, or not allowed (RFC 9110, section 7.2: 421 is
/// for a request that this server won't answer for).
pub(crate) async fn check_host(hosts: Hosts, request: Request, next: Next) -> Response {
    let mut given = request.headers().get_all(header::HOST).iter();
    let host = given.next().and_then(|value| value.to_str().ok());
    match (host, given.next()) {
        (Some(host), None) if hosts.allow(host) => next.run(request).await,
        _ => Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host-not-allowed",
            "this page answers to localhost and IP addresses only, not to other host names",
        )
        .into_response(),
    }
}

/// Answers 503 where a request takes longer than `limit`. Event streams are not cut: their answer begins
/// at once, and only that is timed.
pub(crate) async fn limit_time(limit: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-slow",
            format!("the house did not answer within {} s", limit.as_secs()),
        )
        .into_response(),
    }
}

/// Adds the headers that keep a browser from doing more with the page than it is for.
pub(crate) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, value);
    }
    // States of rooms have no business in a disk cache; assets say for themselves how long they keep.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::Hosts;

    #[test]
    fn loopback_hosts_pass() {
        for host in [
            "localhost",
            "LOCALHOST:8480",
            "127.0.0.1:8480",
            "127.0.0.1",
            "[::1]:8480",
            "[::1]",
            "127.1.2.3:9",
        ] {
            assert!(Hosts::Loopback.allow(host), "{host}");
        }
    }

    #[test]
    fn names_and_other_addresses_do_not() {
        for host in [
            "",
            "evil.example",
            "evil.example:8480",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8480",
            "localhost:",
            "localhost:80x",
            "192.168.1.4:8480",
            "::1",
            "[::1",
            "[127.0.0.1]",
            "127.0.0.1:8480:1",
            "0.0.0.0",
            "localhost@evil.example",
        ] {
            assert!(!Hosts::Loopback.allow(host), "{host}");
        }
    }

    #[test]
    fn a_remote_door_takes_addresses_but_no_names() {
        for host in ["192.168.1.4:8480", "[fd00::4]:8480", "localhost"] {
            assert!(Hosts::AnyAddress.allow(host), "{host}");
        }
        for host in ["gateway.local:8480", "evil.example"] {
            assert!(!Hosts::AnyAddress.allow(host), "{host}");
        }
    }
}
