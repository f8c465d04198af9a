//! What lets dapple into a storage, and the keyring that keeps it sealed.
//!
//! A secret is in the clear only where a backend is opened; the catalog, and with it every export
//! and backup, has it sealed with the instance key, which lies outside the catalog. Nothing here
//! prints a secret.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::clock::Clock;
use crate::model::endpoint::{EndpointName, SealedSecret};
use crate::storage::backend::StorageError;

/// The most bytes that a secret may have: a certificate chain with its key fits well.
pub const SECRET_BYTES_MAX: usize = 16 << 10;

/// The bytes of a nonce of XChaCha20-Poly1305, long enough to be drawn at random.
const NONCE_BYTES: usize = 24;

/// What lets dapple into a storage.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// An access key and its secret key, or a user and a password.
    Pair {
        /// The access key or user.
        name: String,
        /// The secret key or password.
        word: String,
    },
    /// A bearer token.
    Token(String),
    /// A client certificate, its chain and its private key (PEM).
    Certificate(String),
}

/// The text is no secret that a storage could take.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvalidSecret {
    /// There is nothing in it.
    #[error("the secret is empty: write `key:secret`, `user:password`, a token, or a certificate with its key (PEM)")]
    Empty,
    /// It is longer than [`SECRET_BYTES_MAX`].
    #[error("the secret has more than {SECRET_BYTES_MAX} bytes")]
    TooLong,
    /// It has line breaks or other control characters.
    #[error("the secret has more than one line and is no PEM: write `key:secret`, `user:password` or a token alone")]
    Lines,
    /// The certificate comes without its key, or the other way round.
    #[error("the PEM has to hold both the client certificate and its private key")]
    HalfCertificate,
}

impl Secret {
    /// Reads a secret: PEM is a client certificate, text with a colon a pair, anything else a token.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidSecret::Empty);
        }
        if text.len() > SECRET_BYTES_MAX {
            return Err(InvalidSecret::TooLong);
        }
        if text.contains("-----BEGIN ") {
            let both = text.contains("-----BEGIN CERTIFICATE-----") && text.contains("PRIVATE KEY-----");
            return if both { Ok(Self::Certificate(text.to_owned())) } else { Err(InvalidSecret::HalfCertificate) };
        }
        if text.contains(char::is_control) {
            return Err(InvalidSecret::Lines);
        }
        Ok(match text.split_once(':') {
            Some((name, word)) => Self::Pair { name: name.to_owned(), word: word.to_owned() },
            None => Self::Token(text.to_owned()),
        })
    }

    fn text(&self) -> String {
        match self {
            Secret::Pair { name, word } => format!("{name}:{word}"),
            Secret::Token(text) | Secret::Certificate(text) => text.clone(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Secret::Pair { .. } => "Secret::Pair",
            Secret::Token(_) => "Secret::Token",
            Secret::Certificate(_) => "Secret::Certificate",
        })
    }
}

/// Seals and opens secrets with the instance key.
#[derive(Clone)]
pub struct Keyring {
    cipher: XChaCha20Poly1305,
}

impl Keyring {
    /// A keyring of one instance key.
    pub fn new(key: [u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(&key.into()) }
    }

    /// Seals a secret for one endpoint; it opens for no other.
    pub fn seal(&self, endpoint: &EndpointName, secret: &Secret, clock: &dyn Clock) -> SealedSecret {
        let mut nonce = [0; NONCE_BYTES];
        clock.fill(&mut nonce);
        let text = secret.text();
        let payload = Payload { msg: text.as_bytes(), aad: endpoint.as_str().as_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).expect("it is short enough for the cipher");
        SealedSecret::new([&nonce[..], &sealed].concat())
    }

    /// Opens an endpoint's secret.
    pub fn open(&self, endpoint: &EndpointName, sealed: &SealedSecret) -> Result<Secret, StorageError> {
        let text = self.decrypt(endpoint, sealed.bytes()).ok_or_else(|| StorageError::Locked {
            why: format!(
                "it was sealed with another instance key: bring the lake's `instance.key` back, or set the secret again with `dapple endpoint set {endpoint} --secret-file FILE`"
            ),
        })?;
        Secret::parse(&text).map_err(|error| StorageError::Locked { why: error.to_string() })
    }

    fn decrypt(&self, endpoint: &EndpointName, sealed: &[u8]) -> Option<String> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: endpoint.as_str().as_bytes() };
        String::from_utf8(self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?).ok()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::fault::Fault as _;

    fn name(text: &str) -> EndpointName {
        EndpointName::parse(text).expect("valid")
    }

    #[test]
    fn a_secret_is_read_by_its_shape() {
        let pem = "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nB\n-----END PRIVATE KEY-----";
        let table = [
            ("key:secret\n", Ok("Secret::Pair")),
            ("user:with:colons", Ok("Secret::Pair")),
            ("  eyJhbGciOi.J9.x \n", Ok("Secret::Token")),
            (pem, Ok("Secret::Certificate")),
            ("", Err("the secret is empty")),
            (" \n", Err("the secret is empty")),
            ("a:b\nc:d", Err("the secret has more than one line")),
            ("-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----", Err("the PEM has to hold both")),
        ];
        for (text, expected) in table {
            match (Secret::parse(text), expected) {
                (Ok(secret), Ok(kind)) => assert_eq!(format!("{secret:?}"), kind, "{text:?}"),
                (Err(error), Err(beginning)) => assert!(error.to_string().starts_with(beginning), "{text:?}: {error}"),
                (found, _) => panic!("{text:?}: {found:?}"),
            }
        }
        let pair = Secret::Pair { name: "user".to_owned(), word: "with:colons".to_owned() };
        assert_eq!(Secret::parse("user:with:colons").expect("a pair"), pair);
    }

    #[test]
    fn a_sealed_secret_opens_only_with_its_key_and_for_its_endpoint() {
        let (clock, secret) = (SystemClock::shared(), Secret::parse("key:secret").expect("a pair"));
        let keyring = Keyring::new([7; 32]);
        let sealed = keyring.seal(&name("cern"), &secret, clock.as_ref());
        assert_eq!(keyring.open(&name("cern"), &sealed).expect("the same"), secret);
        assert_ne!(keyring.seal(&name("cern"), &secret, clock.as_ref()), sealed, "every sealing has its own nonce");
        assert!(!sealed.bytes().windows(6).any(|window| window == b"secret"));

        let other = Keyring::new([8; 32]).open(&name("cern"), &sealed).expect_err("another key");
        let moved = keyring.open(&name("desy"), &sealed).expect_err("another endpoint");
        let cut = keyring.open(&name("cern"), &SealedSecret::new(vec![1; 9])).expect_err("too short");
        let codes = [other.code(), moved.code(), cut.code()];
        assert_eq!(codes, ["storage-locked"; 3]);
    }
}
