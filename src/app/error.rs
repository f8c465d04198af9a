//! Why a server could not start or went down.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::catalog::CatalogError;
use crate::catalog::backup::BackupError;
use crate::catalog::engine::EngineError;
use crate::fault::{Fault, Kind};
use crate::policy::set::{InvalidPolicies, TEXT_BYTES_MAX};

/// Why a server could not start or went down.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A file or directory of the lake could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the lake does not hold what it should.
    #[error("{path} does not hold {what}", path = path.display())]
    Spoilt {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A file of policies, or of their tests, is too long.
    #[error("{path} has {bytes} bytes, and policies may have {TEXT_BYTES_MAX}", path = path.display())]
    PolicyTooLong {
        /// Which.
        path: PathBuf,
        /// How long it is.
        bytes: u64,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate of the listeners, or its key, cannot be used.
    #[error("{path} cannot be used: {what}", path = path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A key that all servers of a lake share is another one here, or is not here.
    #[error("{path} is not the key of this lake", path = path.display())]
    OtherKey {
        /// Its file.
        path: PathBuf,
    },
    /// No directory is given for the lake.
    #[error("no directory is given for the lake")]
    NoDirectory,
    /// Serving failed.
    #[error("the server failed: {0}")]
    Serve(std::io::Error),
    /// The policies cannot come into force.
    #[error(transparent)]
    Policies(#[from] InvalidPolicies),
    /// There is no catalog where one is looked for.
    #[error("there is no lake in {directory}", directory = directory.display())]
    NoLake {
        /// Where.
        directory: PathBuf,
    },
    /// A backup could not be made, read or restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The catalog could not be opened or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl AppError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| AppError::File { path: path.to_owned(), source }
    }
}

impl From<EngineError> for AppError {
    fn from(error: EngineError) -> Self {
        AppError::Catalog(error.into())
    }
}

impl Fault for AppError {
    fn kind(&self) -> Kind {
        match self {
            AppError::File { .. }
            | AppError::Listen { .. }
            | AppError::Certificate { .. }
            | AppError::NoDirectory
            | AppError::NoLake { .. }
            | AppError::OtherKey { .. }
            | AppError::PolicyTooLong { .. }
            | AppError::Policies(_) => Kind::Invalid,
            AppError::Spoilt { .. } => Kind::Corrupt,
            AppError::Serve(_) => Kind::Unavailable,
            AppError::Backup(error) => error.kind(),
            AppError::Catalog(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            AppError::File { .. } => "lake-directory",
            AppError::Spoilt { .. } => "lake-spoilt",
            AppError::Listen { .. } => "listen",
            AppError::Certificate { .. } => "certificate",
            AppError::NoDirectory => "settings",
            AppError::OtherKey { .. } => "lake-key",
            AppError::Serve(_) => "serve",
            AppError::Policies(_) | AppError::PolicyTooLong { .. } => "policies-invalid",
            AppError::NoLake { .. } => "no-lake",
            AppError::Backup(error) => error.code(),
            AppError::Catalog(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            AppError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Some("another server has the port; choose one with `--listen 127.0.0.1:PORT`".to_owned())
            }
            AppError::Catalog(CatalogError::Engine(EngineError::Locked { .. })) => {
                Some("a lake has one server; stop the other, or point the CLI at it with DAPPLE_URL".to_owned())
            }
            AppError::Certificate { .. } => {
                Some("give PEM files that belong together in `tls.certificate` and `tls.key`".to_owned())
            }
            AppError::NoDirectory => {
                Some("say where: `dapple serve --dir DIR`, or `serve.dir` in the settings".to_owned())
            }
            AppError::OtherKey { path } => {
                let name = path.file_name().unwrap_or_default().display();
                Some(format!("copy {name} from the directory of another server of this lake to {}", path.display()))
            }
            AppError::Policies(_) => Some("`dapple policy check DIR` says the same without a server".to_owned()),
            AppError::PolicyTooLong { .. } => Some(
                "the evaluator's time grows with its policies: say the same with fewer, by labels and groups"
                    .to_owned(),
            ),
            AppError::NoLake { .. } => Some("give the directory that `dapple serve --dir` is given".to_owned()),
            AppError::Backup(error) => error.hint(),
            AppError::Catalog(error) => error.hint(),
            AppError::Spoilt { path, .. } => Some(format!("restore {} from a backup", path.display())),
            _ => None,
        }
    }
}
