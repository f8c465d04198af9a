//! HTTP clients: one way to trust, to wait and to stay out of trouble.
//!
//! Promises that a client never follows a redirect, goes through no proxy, and gives up on what
//! does not connect or is cut off. Never sends a secret by itself: callers add what they need.

use std::time::Duration;

use reqwest::tls::{Certificate, Identity};
use reqwest::{Client, ClientBuilder, redirect};

/// How long a connection may take to come about.
const CONNECT_SPAN_MAX: Duration = Duration::from_secs(10);
/// How long a server may leave sent bytes unacknowledged.
const UNACKNOWLEDGED_SPAN_MAX: Duration = Duration::from_mins(1);
/// How long an unused connection is kept. Apache drops it after 5 seconds unless it is told otherwise,
/// others after 15 to 75, and what is sent just then is lost.
const IDLE_SPAN: Duration = Duration::from_secs(4);

/// Whom to trust and who to be.
#[derive(Clone, Default)]
pub struct Trust {
    /// Certificates (PEM) of authorities that are trusted besides the system's.
    pub ca: Option<String>,
    /// A client certificate with its key (PEM).
    pub identity: Option<String>,
}

/// Why there is no client.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NetError {
    /// The certificates of authorities cannot be read.
    #[error("the CA certificates cannot be read: {0}")]
    Ca(String),
    /// The client certificate or its key cannot be read.
    #[error("the client certificate cannot be read: {0}")]
    Identity(String),
    /// TLS could not be set up.
    #[error("no HTTP client could be made: {0}")]
    Client(String),
}

/// Makes a client for storage. It sets no limit to how long an answer or its body may take: only who
/// asks knows what is much, and a reader who pauses is no silent server.
pub fn client(trust: &Trust) -> Result<Client, NetError> {
    let builder = builder()
        // XRootD before 5.7 reads header names case-sensitively; every other server does not care.
        .http1_title_case_headers()
        .no_proxy()
        .connect_timeout(CONNECT_SPAN_MAX)
        .tcp_user_timeout(UNACKNOWLEDGED_SPAN_MAX)
        .pool_idle_timeout(IDLE_SPAN);
    trusting(builder, trust)?.build().map_err(|error| NetError::Client(told(&error)))
}

/// The same client that trusts, and is, whom it should.
pub fn trusting(mut builder: ClientBuilder, trust: &Trust) -> Result<ClientBuilder, NetError> {
    if let Some(pem) = &trust.ca {
        let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|error| NetError::Ca(told(&error)))?;
        if certificates.is_empty() {
            return Err(NetError::Ca("no certificate is in it".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if let Some(pem) = &trust.identity {
        let identity = Identity::from_pem(pem.as_bytes()).map_err(|error| NetError::Identity(told(&error)))?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

/// What every client begins with: HTTP/1.1 and TLS, and no redirects.
pub fn builder() -> ClientBuilder {
    // Another part may have been quicker; there is only this one provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("dapple/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .redirect(redirect::Policy::none())
        .tcp_nodelay(true)
}

/// An error with what is behind it, without the URL, which may carry a signature.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        source = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_said_to_be_none() {
        let trust = Trust { ca: Some("no certificate".to_owned()), identity: None };
        let error = client(&trust).expect_err("nothing is in it");
        assert_eq!(error.to_string(), "the CA certificates cannot be read: no certificate is in it");
        let trust = Trust { ca: None, identity: Some("no key".to_owned()) };
        let error = client(&trust).expect_err("nothing is in it");
        assert!(error.to_string().starts_with("the client certificate cannot be read"), "{error}");
    }
}
