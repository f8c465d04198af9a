//! Accounts and API keys: who asks.

use std::sync::Arc;

use crate::catalog::record::{AccountRecord, Accounts, ApiKeyRecord, ApiKeys};
use crate::catalog::{Catalog, CatalogError};
use crate::model::account::AccountName;
use crate::model::change::Change;
use crate::service::error::ServiceError;
use crate::service::{Context, Lake};

/// How API keys begin, so that people and scanners know one when they see it.
const KEY_PREFIX: &str = "dapple_";

/// Finds out who asks, from the API key they sent.
pub async fn authenticate(lake: &Arc<Lake>, key: &str) -> Result<Context, ServiceError> {
    let known = lake.catalog.view().await?.get::<ApiKeys>(&(fingerprint(key),)).await?;
    let key = known.ok_or(ServiceError::Unauthenticated("the API key is unknown"))?;
    Ok(Context::new(Arc::clone(lake), key.account))
}

/// Makes the root account if the lake is new, and lets the key given ask for it: whoever can write the
/// lake's directory can replace a key that was lost. Returns whether the lake was new.
pub async fn first_start(catalog: &Catalog, key: &str) -> Result<bool, CatalogError> {
    let fingerprint = fingerprint(key);
    catalog
        .transact(move |txn| {
            let fingerprint = fingerprint.clone();
            async move {
                let (root, created_at) = (AccountName::root(), txn.now());
                if txn.get::<ApiKeys>(&(fingerprint.clone(),)).await?.is_none() {
                    txn.put::<ApiKeys>(&(fingerprint,), &ApiKeyRecord { account: root.clone(), created_at });
                }
                if txn.get::<Accounts>(&(root.to_string(),)).await?.is_some() {
                    return Ok(false);
                }
                txn.put::<Accounts>(&(root.to_string(),), &AccountRecord { admin: true, created_at });
                txn.emit(&Change::AccountAdded { account: root.to_string() });
                Ok(true)
            }
        })
        .await
}

/// Makes an API key from 32 random bytes.
pub fn new_key(random: [u8; 32]) -> String {
    use std::fmt::Write as _;
    random.iter().fold(KEY_PREFIX.to_owned(), |mut key, byte| {
        write!(key, "{byte:02x}").expect("a string takes all text");
        key
    })
}

/// Keys have 256 random bits, so a plain hash cannot be searched.
fn fingerprint(key: &str) -> String {
    blake3::hash(key.as_bytes()).to_hex().to_string()
}
