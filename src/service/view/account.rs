//! Wire shapes of accounts, of what lets them in, and of what they may hold.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::account::{AccountKind, AccountName};
use crate::model::address::AddressRange;
use crate::model::api_key::KeyScope;
use crate::model::endpoint::EndpointName;
use crate::model::scope::Scope;
use crate::model::time::Timestamp;
use crate::service::view::SecretText;

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// Its name, which never changes and is never given again.
    pub name: AccountName,
    /// What it stands for.
    pub kind: AccountKind,
    /// Whether it may change accounts and whatever else is the lake's.
    pub admin: bool,
    /// Since when it is not let in, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<Timestamp>,
    /// Where its owner can be written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The groups it is in, by itself or through other groups.
    pub groups: Vec<AccountName>,
    /// Whether it can sign in with a password.
    pub has_password: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An account to add.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Its name.
    pub name: AccountName,
    /// What it stands for.
    #[serde(default)]
    pub kind: AccountKind,
    /// Whether it may change accounts and whatever else is the lake's.
    #[serde(default)]
    pub admin: bool,
    /// Where its owner can be written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A change of an account. What is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// Whether it may change accounts and whatever else is the lake's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<bool>,
    /// Whether it is kept out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<bool>,
    /// Where its owner can be written to; empty for nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What it is for; empty for nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A member of a group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// The member.
    pub account: AccountName,
    /// Since when.
    pub added_at: Timestamp,
}

/// An account that shall be in a group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    /// The member.
    pub account: AccountName,
}

/// An API key, without the key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub account: AccountName,
    /// What it is called.
    pub name: String,
    /// Which acts it lets through.
    pub scopes: Vec<KeyScope>,
    /// The only data scopes it lets at; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_scopes: Option<Vec<Scope>>,
    /// Where it may be used; empty for everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressRange>,
    /// Who made it.
    pub made_by: AccountName,
    /// When.
    pub created_at: Timestamp,
    /// When it ends; absent only for the key in the lake's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// An API key to make.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What it is called.
    pub name: String,
    /// Which acts it lets through.
    pub scopes: Vec<KeyScope>,
    /// The only data scopes it lets at; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_scopes: Option<Vec<Scope>>,
    /// Where it may be used; empty for everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressRange>,
    /// After how many seconds it ends: at most a year.
    pub expires_seconds: u64,
}

/// An API key that was made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MadeKey {
    /// The key itself, told this once.
    pub key: SecretText,
    /// What lists will show of it.
    pub made: KeyView,
}

/// A password to set.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// The new one.
    pub password: SecretText,
    /// The one that it replaces, where somebody changes their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<SecretText>,
}

/// What goes with the removal of a password.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordRemoval {
    /// The one that is removed, where somebody removes their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<SecretText>,
}

/// A wish to sign in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// The account's name, as it was typed.
    pub account: String,
    /// Its password.
    pub password: SecretText,
}

/// A session.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// The token that stands for it, told this once: `Authorization: Bearer TOKEN`.
    pub token: SecretText,
    /// Whose it is.
    pub account: AccountName,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Who asks, as the lake sees them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WhoView {
    /// The account.
    pub account: AccountName,
    /// What it stands for.
    pub kind: AccountKind,
    /// Whether it may change accounts and whatever else is the lake's.
    pub admin: bool,
    /// The groups it is in, by itself or through other groups.
    pub groups: Vec<AccountName>,
    /// Which acts the key lets through.
    pub scopes: Vec<KeyScope>,
    /// The only data scopes that the key lets at; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_scopes: Option<Vec<Scope>>,
    /// When the key ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When the password was given; absent with an API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated_at: Option<Timestamp>,
}

/// A limit to set.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLimit {
    /// An endpoint expression: the limit is on all that it selects, taken together.
    pub on: String,
    /// How many bytes the account's rules may hold there.
    pub bytes: u64,
}

/// A limit, and what is held of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LimitView {
    /// The account.
    pub account: AccountName,
    /// The endpoint expression.
    pub on: String,
    /// How many bytes the account's rules may hold there.
    pub bytes: u64,
    /// How many they hold there, or are about to. Told exactly to admins; to others rounded up, as the
    /// sum would tell of what is hidden.
    pub used_bytes: u64,
    /// The endpoints that the expression selects now.
    pub endpoints: Vec<EndpointName>,
}

/// What an account's rules hold at an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HoldingView {
    /// Where.
    pub endpoint: EndpointName,
    /// Files of the datasets and files that they lock there, for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Their bytes, whether they have arrived or not. Told exactly to admins, to others rounded up.
    pub bytes: u64,
}

/// What an account's rules hold, and may hold.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UsageView {
    /// The account.
    pub account: AccountName,
    /// Where they hold anything.
    pub holdings: Vec<HoldingView>,
    /// Its limits.
    pub limits: Vec<LimitView>,
}
