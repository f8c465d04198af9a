//! Accounts: who they are, what lets them in, which groups they are in, and how much they may hold.
//! Secrets are told once, when they are made, and kept as hashes.

use crate::catalog::record::accounts::{AccountRecord, ApiKeyRecord};
use crate::catalog::record::{Accounts, ApiKeys, Facts};
use crate::catalog::{Catalog, CatalogError};
use crate::clock::Clock;
use crate::model::account::{AccountKind, AccountName};
use crate::model::change::Change;
use crate::policy::decision::Action;
use crate::service::error::ServiceError;
use crate::service::{Context, Permit};

mod authenticate;
mod doorkeeper;
pub mod keys;
pub mod limits;
pub mod manage;
pub mod members;
pub mod passwords;
pub mod sessions;

pub(super) use authenticate::Shown;
pub use authenticate::{Peer, authenticate, renewed};
pub use doorkeeper::Doorkeeper;

/// What a dry run tells in the place of a secret.
const NO_SECRET: &str = "none: this was a dry run";

/// How API keys begin, so that people and scanners know one when they see it.
const KEY_PREFIX: &str = "dapple_";

/// What a start finds of a lake and of the key in its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The lake is new.
    New,
    /// The lake is known, and the key is good.
    Known,
    /// The key was revoked, and stays so.
    KeyRevoked,
}

/// Makes the root account if the lake is new, and lets the key given ask for it, unless that was revoked
/// once: whoever can write the lake's directory can replace a key that was lost.
pub async fn first_start(catalog: &Catalog, key: &str) -> Result<Begun, CatalogError> {
    let fingerprint = fingerprint(key);
    catalog
        .transact(move |txn| {
            let fingerprint = fingerprint.clone();
            async move {
                let (root, created_at) = (AccountName::root(), txn.now());
                if txn.get::<Facts>(&revoked(&fingerprint)).await?.is_some() {
                    return Ok(Begun::KeyRevoked);
                }
                let known = txn.get::<ApiKeys>(&(fingerprint.clone(),)).await?;
                // Written anew where it is known, so that it is listed even if it is older than lists.
                let key = known.unwrap_or_else(|| ApiKeyRecord::of_directory(root.clone(), created_at));
                txn.put::<ApiKeys>(&(fingerprint,), &key);
                if txn.get::<Accounts>(&(root.to_string(),)).await?.is_some() {
                    return Ok(Begun::Known);
                }
                let record = AccountRecord {
                    admin: true,
                    created_at,
                    kind: AccountKind::User,
                    suspended_at: None,
                    email: None,
                    description: None,
                };
                txn.put::<Accounts>(&(root.to_string(),), &record);
                txn.emit(&Change::AccountAdded { account: root.to_string() });
                Ok(Begun::New)
            }
        })
        .await
}

/// The fact that a key which a lake's directory had was revoked, and when: the file may still be there.
fn revoked(fingerprint: &str) -> (String,) {
    (format!("revoked_key:{fingerprint}"),)
}

/// Makes an API key from 32 random bytes.
pub fn new_key(random: [u8; 32]) -> String {
    secret(KEY_PREFIX, random)
}

fn secret(prefix: &str, random: [u8; 32]) -> String {
    use std::fmt::Write as _;
    random.iter().fold(prefix.to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all text");
        text
    })
}

/// Keys and tokens have 256 random bits, so a plain hash cannot be searched.
fn fingerprint(secret: &str) -> String {
    blake3::hash(secret.as_bytes()).to_hex().to_string()
}

/// How many digits of its fingerprint name a key or session: few to type, far too few to guess it from.
const ID_DIGITS: usize = 12;

/// The id of a key or session, for lists and logs.
fn id_of(fingerprint: &str) -> String {
    fingerprint.chars().take(ID_DIGITS).collect()
}

fn random(clock: &dyn Clock) -> [u8; 32] {
    let mut bytes = [0; 32];
    clock.fill(&mut bytes);
    bytes
}

/// Lets admins at accounts, whatever else policy says: who may change accounts may become anybody.
fn administer(ctx: &Context, account: impl std::fmt::Display) -> Result<Permit, ServiceError> {
    let resource = format!("account {account}");
    let permit = ctx.permit(Action::Administer, &resource)?;
    if !ctx.principal.admin {
        return Err(ServiceError::Denied { action: Action::Administer.name(), resource });
    }
    Ok(permit)
}

/// Tells whether an account is that of who asks.
fn is_own(ctx: &Context, account: &AccountName) -> bool {
    ctx.account() == account
}
