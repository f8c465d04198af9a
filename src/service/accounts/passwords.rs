//! Passwords of local accounts: set, removed, checked. Kept as argon2id, which is slow on purpose.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::catalog::record::Passwords;
use crate::catalog::record::accounts::PasswordRecord;
use crate::model::account::{AccountKind, AccountName};
use crate::model::change::Change;
use crate::service::accounts::authenticate::Peer;
use crate::service::accounts::manage::{limited_key, require, require_visible};
use crate::service::accounts::sessions::end_all;
use crate::service::accounts::{administer, is_own, random};
use crate::service::error::ServiceError;
use crate::service::terms::Made;
use crate::service::view::{NewPassword, PasswordRemoval, SecretText};
use crate::service::{Context, Lake};

/// The fewest characters of a password.
pub const CHARACTERS_MIN: usize = 12;
/// The most bytes of a password.
const BYTES_MAX: usize = 1_024;
/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 64 * 1_024;
/// Passes over that memory.
const PASSES: u32 = 3;
/// What an unknown account's password is compared with, so that it takes as long as a known one's.
const NOBODYS: &str = "$argon2id$v=19$m=65536,t=3,p=1$bm9ib2R5IG5vYm9keSE$\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Sets a password: one's own, or, as an admin, another's. All sessions of the account end.
pub async fn set(ctx: &Context, account: &AccountName, new: NewPassword, peer: Peer) -> Result<(), ServiceError> {
    permit(ctx, account, new.current.as_ref(), peer).await?;
    check(new.password.reveal())?;
    let hash = hash(&ctx.lake, new.password).await?;
    let account = account.clone();
    ctx.catalog()
        .transact(move |txn| {
            let (account, hash) = (account.clone(), hash.clone());
            async move {
                if require(&txn, &account).await?.kind == AccountKind::Group {
                    return Err(ServiceError::invalid("invalid-kind", "nobody signs in as a group"));
                }
                txn.put::<Passwords>(&(account.to_string(),), &PasswordRecord { hash, set_at: txn.now() });
                end_all(&txn, &account).await?;
                txn.emit(&Change::AccountChanged { account: account.to_string() });
                Ok(())
            }
        })
        .await
}

/// Removes a password: the account cannot sign in with one from now on, and its sessions end. Who removes
/// their own says what it was, as who changes it.
pub async fn remove(
    ctx: &Context,
    account: &AccountName,
    removal: PasswordRemoval,
    peer: Peer,
) -> Result<(), ServiceError> {
    if is_own(ctx, account) {
        permit(ctx, account, removal.current.as_ref(), peer).await?;
    } else {
        require_visible(ctx, &ctx.catalog().view().await?, account).await?;
        administer(ctx, account)?;
    }
    let account = account.clone();
    ctx.transact_untagged(Made::Gone, move |txn| {
        let account = account.clone();
        async move {
            require(&txn, &account).await?;
            txn.clear::<Passwords>(&(account.to_string(),));
            end_all(&txn, &account).await?;
            txn.emit(&Change::AccountChanged { account: account.to_string() });
            Ok(())
        }
    })
    .await
}

/// Lets at a password: admins at all; others at their own, if they say what it was.
async fn permit(
    ctx: &Context,
    account: &AccountName,
    current: Option<&SecretText>,
    peer: Peer,
) -> Result<(), ServiceError> {
    let view = ctx.catalog().view().await?;
    require_visible(ctx, &view, account).await?;
    // Whoever sets a password can sign in with it, from anywhere and for good, and then holds nothing
    // back.
    if !ctx.principal.key.is_boundless() {
        return Err(limited_key());
    }
    let by_session = ctx.principal.authenticated_at.is_some();
    if administer(ctx, account).is_ok() && !(is_own(ctx, account) && by_session) {
        return Ok(());
    }
    if !is_own(ctx, account) {
        return administer(ctx, account).map(drop);
    }
    let Some(known) = view.get::<Passwords>(&(account.to_string(),)).await? else {
        return Ok(());
    };
    let wrong = || ServiceError::Invalid {
        code: "wrong-password",
        detail: "that is not the password so far".to_owned(),
        hint: Some("an admin can set a new one without it".to_owned()),
    };
    let current = current.cloned().ok_or_else(wrong)?;
    ctx.lake.doorkeeper.knock(account.as_str(), peer, ctx.catalog().clock().monotonic())?;
    if !matches(&ctx.lake, current, Some(known.hash)).await? {
        return Err(wrong());
    }
    ctx.lake.doorkeeper.welcome(account.as_str(), peer);
    Ok(())
}

fn check(password: &str) -> Result<(), ServiceError> {
    let invalid = |detail: String| ServiceError::Invalid {
        code: "invalid-password",
        detail,
        hint: Some("a few words that do not belong together are easy to keep and hard to guess".to_owned()),
    };
    if password.chars().count() < CHARACTERS_MIN {
        return Err(invalid(format!("a password has {CHARACTERS_MIN} characters or more")));
    }
    if password.len() > BYTES_MAX {
        return Err(invalid(format!("a password has at most {BYTES_MAX} bytes")));
    }
    Ok(())
}

fn slow() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("the costs are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

async fn hash(lake: &Lake, password: SecretText) -> Result<String, ServiceError> {
    let mut salt = [0; 16];
    salt.copy_from_slice(&random_of(lake)[..16]);
    let _turn = lake.doorkeeper.turn().await?;
    let clock = lake.catalog.clock();
    let hashed = clock.compute(move || {
        let hash: PasswordHash =
            slow().hash_password_with_salt(password.reveal().as_bytes(), &salt).expect("16 bytes are a salt");
        hash.to_string()
    });
    Ok(hashed.await)
}

/// Tells whether a password is the one that was hashed. Takes as long if there is none.
pub(super) async fn matches(lake: &Lake, password: SecretText, hash: Option<String>) -> Result<bool, ServiceError> {
    let _turn = lake.doorkeeper.turn().await?;
    let is_known = hash.is_some();
    let hash = hash.unwrap_or_else(|| NOBODYS.to_owned());
    let verified = lake.catalog.clock().compute(move || {
        let read = PasswordHash::new(&hash).expect("only hashes are stored as passwords");
        slow().verify_password(password.reveal().as_bytes(), &read).is_ok()
    });
    Ok(verified.await && is_known)
}

fn random_of(lake: &Lake) -> [u8; 32] {
    random(lake.catalog.clock().as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobodys_password_is_compared_with_costs_as_much_as_any() {
        let nobodys = PasswordHash::new(NOBODYS).expect("a hash");
        let hash: PasswordHash = slow().hash_password_with_salt(b"correct horse", &[7; 16]).expect("a hash");
        assert_eq!(nobodys.params, hash.params);
        assert_eq!((nobodys.algorithm, nobodys.version), (hash.algorithm, hash.version));
        let length = |hash: &PasswordHash| hash.hash.as_ref().map(argon2::password_hash::phc::Output::len);
        assert_eq!(length(&nobodys), length(&hash));
        assert!(hash.to_string().starts_with("$argon2id$v=19$m=65536,t=3,p=1$"));
        assert!(slow().verify_password(b"correct horse", &hash).is_ok());
        assert!(slow().verify_password(b"correct horsf", &hash).is_err());
    }
}
