//! The certificate of the listeners: read at the start, and again when its files change.
//!
//! A pair that cannot be used never replaces one that can: it is logged, once, and looked at again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::app::error::AppError;

/// A certificate with its key, as it is now.
pub(super) struct Certificate {
    chain_file: PathBuf,
    key_file: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
    /// What was looked at last, used or not.
    seen: Mutex<blake3::Hash>,
}

/// Both files as they are.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// Reads a pair that has to be good.
    pub(super) fn open(certificate: &Path, key: &Path) -> Result<Arc<Self>, AppError> {
        let pair = Pair::read(certificate, key)?;
        let current = RwLock::new(Arc::new(pair.config(certificate, key)?));
        let seen = Mutex::new(pair.fingerprint());
        Ok(Arc::new(Self { chain_file: certificate.to_owned(), key_file: key.to_owned(), current, seen }))
    }

    /// What a connection that begins now is served with.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().expect("nothing panics while holding it"))
    }

    /// Looks at the files, and uses them from now on if they are others and good.
    pub(super) fn reload(&self) {
        let pair = match Pair::read(&self.chain_file, &self.key_file) {
            Ok(pair) => pair,
            // Files that are replaced are gone for a moment.
            Err(error) => return tracing::warn!("the certificate stays as it is: {error}"),
        };
        let fingerprint = pair.fingerprint();
        if std::mem::replace(&mut *self.seen.lock().expect("nothing panics while holding it"), fingerprint)
            == fingerprint
        {
            return;
        }
        match pair.config(&self.chain_file, &self.key_file) {
            Ok(config) => {
                *self.current.write().expect("nothing panics while holding it") = Arc::new(config);
                tracing::info!("the certificate in {} is used from now on", self.chain_file.display());
            }
            Err(error) => tracing::error!("the certificate stays as it is: {error}"),
        }
    }
}

impl Pair {
    fn read(certificate: &Path, key: &Path) -> Result<Self, AppError> {
        let read = |path: &Path| std::fs::read(path).map_err(AppError::file(path));
        Ok(Self { certificate: read(certificate)?, key: read(key)? })
    }

    fn fingerprint(&self) -> blake3::Hash {
        let mut both = blake3::Hasher::new();
        both.update(&(self.certificate.len() as u64).to_le_bytes());
        both.update(&self.certificate).update(&self.key);
        both.finalize()
    }

    fn config(&self, certificate: &Path, key: &Path) -> Result<ServerConfig, AppError> {
        let unfit = |path: &Path, what: String| AppError::Certificate { path: path.to_owned(), what };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| unfit(certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(unfit(certificate, "no certificate is in it".to_owned()));
        }
        let secret = PrivateKeyDer::from_pem_slice(&self.key)
            // What a parser says of a key may show some of it.
            .map_err(|_| unfit(key, "no private key in PEM can be read from it".to_owned()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider speaks TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|error| unfit(certificate, format!("it does not go with its key: {error}")))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}
