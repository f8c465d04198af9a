//! Where the server is: a URL as every client of PostgreSQL reads it, with a stricter notion of TLS.
//!
//! A connection is encrypted and the server's certificate checked, name included, unless the URL says
//! `sslmode=disable` or the server is on this machine. There is nothing in between: encryption that
//! anybody can answer keeps no secret.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::super::EngineError;

/// Where the server is, and how it is spoken to.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// Never shows a password.
impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_string())
    }
}

/// As much as people need to know which server is meant.
impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.config.get_hosts().iter().map(to_name).collect();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or("?");
        write!(formatter, "{database} on {}", hosts.join(", "))
    }
}

fn to_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

impl Address {
    /// Reads a URL such as `postgres://dapple@db.example.org/dapple`.
    pub fn parse(url: &str) -> Result<Self, EngineError> {
        let (bare, asked) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut others) = (None, None, Vec::new());
        for pair in asked.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "sslmode" => mode = Some(value),
                "sslrootcert" => roots = Some(PathBuf::from(value)),
                _ => others.push(pair),
            }
        }
        let plain = if others.is_empty() { bare.to_owned() } else { format!("{bare}?{}", others.join("&")) };
        let mut config: Config = plain.parse().map_err(|error| invalid(&said(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(invalid("it names no host"));
        }
        if config.get_user().is_none() {
            return Err(invalid("it names no user"));
        }
        let encrypted = match mode.as_deref() {
            None => !is_here(&config),
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(other) => {
                let what = format!("sslmode={other} is not known here: write verify-full, or disable for none");
                return Err(invalid(&what));
            }
        };
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        let tls = encrypted.then(|| trust(roots)).transpose()?;
        Ok(Self { config, tls })
    }
}

/// Tells whether the bytes do not leave this machine.
fn is_here(config: &Config) -> bool {
    let loops = |name: &str| name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let hosts = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => loops(name),
    });
    hosts && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// Whose word is taken for the server's certificate: this machine's, or that of the authorities in a file.
fn trust(roots: Option<PathBuf>) -> Result<Arc<ClientConfig>, EngineError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(&error.to_string()))?;
    let builder = match roots {
        None => builder.with_platform_verifier().map_err(|error| invalid(&error.to_string()))?,
        Some(path) => {
            let wrong = |what: &dyn fmt::Display| invalid(&format!("sslrootcert {}: {what}", path.display()));
            let mut store = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| wrong(&error))? {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                store.add(certificate).map_err(|error| wrong(&error))?;
            }
            if store.is_empty() {
                return Err(wrong(&"it holds no certificate"));
            }
            builder.with_root_certificates(store)
        }
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn invalid(what: &str) -> EngineError {
    EngineError::Refused {
        what: format!("the address cannot be used: {what}"),
        hint: "write it as postgres://USER@HOST:PORT/DATABASE, with ?sslmode=disable if nothing is to be encrypted"
            .to_owned(),
    }
}

/// What an error says, with its cause.
pub(super) fn said(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", said(cause)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear_by_itself() {
        let is_encrypted = |url: &str| Address::parse(url).map(|address| address.tls.is_some());
        for (url, expected) in [
            ("postgres://ada@127.0.0.1/lake", false),
            ("postgres://ada@[::1]:5433/lake", false),
            ("postgres://ada@localhost/lake", false),
            ("postgres://ada@%2Frun%2Fpostgresql/lake", false),
            ("postgres://ada@db.example.org/lake", true),
            ("postgres://ada@db.example.org/lake?sslmode=disable", false),
            ("postgresql://ada@localhost/lake?sslmode=verify-full&application_name=x", true),
            ("postgres://ada@localhost,db.example.org/lake", true),
        ] {
            assert_eq!(is_encrypted(url).ok(), Some(expected), "{url}");
        }
        for (url, word) in [
            ("postgres://ada@db/lake?sslmode=prefer", "verify-full"),
            ("postgres://db/lake", "no user"),
            ("postgres://ada@/lake", "no host"),
            ("postgres://ada@db/lake?color=red", "color"),
            ("postgres://ada@db/lake?sslrootcert=/nowhere.pem", "/nowhere.pem"),
        ] {
            let error = is_encrypted(url).expect_err(url);
            assert!(error.to_string().contains(word), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let address = Address::parse("postgres://ada:hunter2@127.0.0.1/lake").expect("an address");
        assert_eq!(format!("{address} {address:?}"), "lake on 127.0.0.1 lake on 127.0.0.1");
    }
}
