//! Builds a lake from its directory. What lies where:
//!
//! ```text
//! DIR/catalog/          the embedded catalog, unless it is on a server
//! DIR/index/            the search index, which is made from the catalog
//! DIR/admin.key         the admin's API key
//! DIR/url-signing.key   the seed of the key that signs URLs
//! DIR/instance.key      the key that seals the endpoints' secrets in the catalog
//! ```

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::error::AppError;
use crate::app::{catalog, secrets};
use crate::catalog::ledger::holdings;
use crate::catalog::record::LakeRecord;
use crate::catalog::{Catalog, CatalogError, endpoints};
use crate::clock::SystemClock;
use crate::config::settings::Settings;
use crate::config::value::size;
use crate::policy::judge::Judge;
use crate::policy::token::{SigningKey, Verifier};
use crate::replicas::upload::Uploads;
use crate::search::follow::Search;
use crate::service::Lake;
use crate::service::accounts::{self, Begun};
use crate::service::search::Turns;
use crate::storage::registry::Registry;
use crate::storage::secret::Keyring;

/// A lake that was opened, and what its owner should know.
pub struct Opened {
    /// The lake.
    pub lake: Arc<Lake>,
    /// The admin's API key.
    pub admin_key: String,
    /// Whether the lake is new.
    pub is_new: bool,
}

/// Opens the lake in a directory, making it if there is none.
pub async fn open(
    directory: &Path,
    public_url: String,
    settings: &Settings,
    judge: Arc<Judge>,
) -> Result<Opened, AppError> {
    let clock = SystemClock::shared();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(AppError::file(directory))?;
    let catalog = catalog::open(directory, &settings.catalog, &clock).await?;
    let known = catalog.begin().await?;
    // Keys come behind the catalog: its lock keeps a second server from making others.
    catalog::keys_are_ours(&catalog, directory).await?;
    let (admin_key, _) = secrets::admin_key(directory, clock.as_ref())?;
    let signer = SigningKey::from_seed(secrets::signing_seed(directory, clock.as_ref())?);
    let keyring = Keyring::new(secrets::instance_key(directory, clock.as_ref())?);
    holdings::count_once(&catalog).await?;
    let begun = accounts::first_start(&catalog, &admin_key).await?;
    if begun == Begun::KeyRevoked {
        let file = secrets::admin_key_file(directory);
        tracing::warn!(
            "the key in {file} was revoked and opens nothing; to have another made, remove {file} and start again",
            file = file.display()
        );
    }
    let (lanes, lease) = (size(settings.transfers.lanes.0), settings.transfers.lease.0);
    let stores = Arc::new(Registry::with_keyring(keyring).with_lanes(lanes).with_lease(lease));
    tell_locked(&catalog, &stores, directory).await?;
    let search = Arc::new(Search::kept(index_of(directory, &known)?));
    let opening = Arc::clone(&search);
    if let Err(error) = catalog.clock().compute(move || opening.open()).await {
        tracing::warn!("the search index cannot be opened, and will be tried again: {error}");
    }
    let lake = Lake {
        search,
        searches: Turns::default(),
        uploads: Uploads::new(catalog.clone(), Arc::clone(&stores), Arc::clone(&judge)),
        doorkeeper: accounts::Doorkeeper::default(),
        verifier: Verifier::new([signer.public_key()]),
        catalog,
        stores,
        judge,
        signer,
        directory: Some(directory.to_owned()),
        public_url,
    };
    Ok(Opened { lake: Arc::new(lake), admin_key, is_new: begun == Begun::New })
}

/// The directory of the search index. One that was made from another life of the lake, before a restore,
/// goes: the numbers of changes that it remembers are not this one's.
fn index_of(directory: &Path, lake: &LakeRecord) -> Result<PathBuf, AppError> {
    let index = directory.join("index");
    let mark = index.join("lake");
    let ours = format!("{} {} {}\n", lake.id, lake.epoch, lake.since.as_millis());
    let known = match fs::read_to_string(&mark) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(AppError::file(&mark)(error)),
    };
    if known.as_ref() == Some(&ours) {
        return Ok(index);
    }
    // Indexes that are older than marks are of the first epoch.
    if (known.is_some() || lake.epoch > 1) && index.exists() {
        tracing::info!("the search index is of another state of the lake, and will be built again");
        fs::remove_dir_all(&index).map_err(AppError::file(&index))?;
    }
    fs::create_dir_all(&index).map_err(AppError::file(&index))?;
    fs::write(&mark, ours).map_err(AppError::file(&mark))?;
    Ok(index)
}

/// A lake with a lost or strange instance key serves all but the endpoints whose secrets that sealed.
async fn tell_locked(catalog: &Catalog, stores: &Registry, directory: &Path) -> Result<(), CatalogError> {
    for endpoint in endpoints::all(&catalog.view().await?).await? {
        if let Err(error) = stores.unlock(&endpoint) {
            let (name, directory) = (&endpoint.name, directory.display());
            tracing::error!(endpoint.name = %name, "{name} in {directory} stays closed: {error}");
        }
    }
    Ok(())
}
