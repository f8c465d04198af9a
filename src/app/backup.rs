//! Backups where no server runs: from a lake's directory, and into a new one.

use std::fs::DirBuilder;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::app::catalog::{self, EMBEDDED};
use crate::app::error::AppError;
use crate::app::secrets::{self, KEY_FILES};
use crate::catalog::Catalog;
use crate::catalog::backup::{Export, Header, Reader, Totals, restore};
use crate::clock::SystemClock;
use crate::config::settings::{CatalogSettings, Settings};

/// A lake that is not served, opened to be backed up.
pub struct Resting {
    catalog: Catalog,
}

impl Resting {
    /// Opens the lake whose embedded catalog is in a directory; fails while a server has it.
    pub async fn open(directory: &Path) -> Result<Self, AppError> {
        // Opening would begin a lake where there is none.
        if !directory.join(EMBEDDED).is_dir() {
            return Err(AppError::NoLake { directory: directory.to_owned() });
        }
        Ok(Self { catalog: catalog::open(directory, &Settings::default().catalog, &SystemClock::shared()).await? })
    }

    /// Begins a backup.
    pub async fn backup(&self) -> Result<Export, AppError> {
        Ok(Export::begin(&self.catalog).await?)
    }

    /// Lets go of the lake.
    pub async fn close(self) -> Result<(), AppError> {
        Ok(self.catalog.close().await?)
    }
}

/// A lake that was restored.
pub struct Restored {
    /// What the backup said of itself.
    pub header: Header,
    /// What it had.
    pub totals: Totals,
    /// Keys that its directory lacks; others are made at the first start.
    pub missing: Vec<&'static str>,
}

/// Restores a backup into a directory that has no lake, or an empty catalog that the settings name, with the keys of another one's directory if that
/// is given. `progress` is told how many bytes of the backup are done.
pub async fn into_directory<R: Read + Send>(
    directory: &Path,
    settings: &CatalogSettings,
    keys: Option<&Path>,
    from: Reader<R>,
    progress: impl FnMut(u64) + Send,
) -> Result<Restored, AppError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(AppError::file(directory))?;
    let catalog = catalog::open(directory, settings, &SystemClock::shared()).await?;
    let restored = restore(&catalog, from, progress).await;
    let closed = catalog.close().await;
    let (header, totals) = restored?;
    closed?;
    if let Some(keys) = keys {
        secrets::copy_keys(keys, directory)?;
    }
    let missing = KEY_FILES.into_iter().filter(|name| !directory.join(name).exists()).collect();
    Ok(Restored { header, totals, missing })
}
