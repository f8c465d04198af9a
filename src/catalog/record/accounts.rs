//! What the catalog stores of accounts: who they are, what lets them in, and how much they may hold.
//! Secrets are kept as hashes only.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::catalog::record::{ApiKeysByAccount, GroupsOf, SessionsByAccount};
use crate::catalog::table::{
    DecodeError, IndexRow, Parts as _, Typed as _, Value, decode_version, encode_version, stored_v1,
};
use crate::model::account::{AccountKind, AccountName};
use crate::model::api_key::KeyReach;
use crate::model::expression::Expression;
use crate::model::time::Timestamp;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// May do everything that policy does not forbid to all.
    pub admin: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it stands for.
    pub kind: AccountKind,
    /// Since when it is not let in, if it is not.
    pub suspended_at: Option<Timestamp>,
    /// Where its owner can be written to.
    pub email: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// An account as version 1 had it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct AccountRecordV1 {
    admin: bool,
    created_at: Timestamp,
}

impl From<AccountRecordV1> for AccountRecord {
    fn from(old: AccountRecordV1) -> Self {
        let AccountRecordV1 { admin, created_at } = old;
        Self { admin, created_at, kind: AccountKind::User, suspended_at: None, email: None, description: None }
    }
}

impl Value for AccountRecord {
    const VERSION: u8 = 2;

    fn encode(&self) -> Bytes {
        encode_version(2, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(1) => decode_version::<AccountRecordV1>(1, bytes).map(Self::from),
            _ => decode_version(2, bytes),
        }
    }
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRecord {
    /// Whose it is.
    pub account: AccountName,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it is called.
    pub name: String,
    /// How far it reaches.
    pub reach: KeyReach,
    /// Who made it.
    pub made_by: AccountName,
}

/// An API key as version 1 had it: those were the keys in lakes' directories.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ApiKeyRecordV1 {
    account: AccountName,
    created_at: Timestamp,
}

impl ApiKeyRecord {
    /// The key in a lake's directory: it may do everything, and does not end.
    pub fn of_directory(account: AccountName, created_at: Timestamp) -> Self {
        Self { made_by: account.clone(), account, created_at, name: "admin.key".to_owned(), reach: KeyReach::whole() }
    }
}

impl Value for ApiKeyRecord {
    const VERSION: u8 = 2;

    fn encode(&self) -> Bytes {
        encode_version(2, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(1) => decode_version::<ApiKeyRecordV1>(1, bytes)
                .map(|old| ApiKeyRecord::of_directory(old.account, old.created_at)),
            _ => decode_version(2, bytes),
        }
    }
}

pub(super) fn key_indexes(key: &(String,), record: &ApiKeyRecord) -> Vec<IndexRow> {
    vec![(ApiKeysByAccount::TABLE, (record.account.to_string(), key.0.clone()).encode())]
}

/// A membership in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Since when.
    pub added_at: Timestamp,
}

pub(super) fn member_indexes(key: &(String, String), _: &MemberRecord) -> Vec<IndexRow> {
    vec![(GroupsOf::TABLE, (key.1.clone(), key.0.clone()).encode())]
}

/// A password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordRecord {
    /// What argon2id makes of it, with its salt and its costs (PHC string format).
    pub hash: String,
    /// When it was set.
    pub set_at: Timestamp,
}

/// A session: a time for which a password need not be given again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Whose it is.
    pub account: AccountName,
    /// When the password was given.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

pub(super) fn session_indexes(key: &(String,), record: &SessionRecord) -> Vec<IndexRow> {
    vec![(SessionsByAccount::TABLE, (record.account.to_string(), key.0.clone()).encode())]
}

/// How much an account's rules may hold at endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRecord {
    /// Which endpoints, taken together.
    pub on: Expression,
    /// How many bytes.
    pub bytes: u64,
    /// When that was set.
    pub set_at: Timestamp,
}

stored_v1!(MemberRecord);
stored_v1!(PasswordRecord);
stored_v1!(SessionRecord);
stored_v1!(LimitRecord);
