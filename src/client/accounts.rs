//! Calls about accounts: who there is, what lets them in, what they may hold.

use reqwest::Method;

use crate::client::Client;
use crate::client::address::{query, segment};
use crate::client::error::ClientError;
use crate::client::listing::Listing;
use crate::client::request::{Again, Call};
use crate::model::account::AccountName;
use crate::model::scope::Scope;
use crate::service::view::{
    AccountChange, AccountView, KeyView, LimitView, MadeKey, MemberView, NewAccount, NewKey, NewLimit, NewMember,
    NewPassword, NewSession, PasswordRemoval, ScopeChange, ScopeView, SessionView, UsageView, WhoView,
};

impl Client {
    /// Says who asks.
    pub async fn whoami(&self) -> Result<WhoView, ClientError> {
        self.get("/whoami").await
    }

    /// Signs in.
    pub async fn sign_in(&self, new: &NewSession) -> Result<SessionView, ClientError> {
        self.post("/sessions", new, Again::IfUnsent).await
    }

    /// Signs out: ends the session whose token this client has.
    pub async fn sign_out(&self) -> Result<(), ClientError> {
        let call = Call::new(Method::DELETE, self.api("/sessions/current"), Again::IfUnsent);
        self.call_for_nothing(&call).await
    }

    /// Adds an account.
    pub async fn add_account(&self, new: &NewAccount) -> Result<AccountView, ClientError> {
        self.post("/accounts", new, Again::ByKey).await
    }

    /// Lists accounts.
    pub fn accounts(&self) -> Listing<AccountView> {
        self.listing("/accounts", &[])
    }

    /// Reads an account.
    pub async fn account(&self, name: &AccountName) -> Result<AccountView, ClientError> {
        self.get(&format!("/accounts/{name}")).await
    }

    /// Changes an account.
    pub async fn change_account(&self, name: &AccountName, change: &AccountChange) -> Result<AccountView, ClientError> {
        self.send(Method::PATCH, &format!("/accounts/{name}"), change, Again::ByKey).await
    }

    /// Lists the members of a group.
    pub fn members(&self, group: &AccountName) -> Listing<MemberView> {
        self.listing(&format!("/accounts/{group}/members"), &[])
    }

    /// Adds a member to a group.
    pub async fn add_member(&self, group: &AccountName, new: &NewMember) -> Result<MemberView, ClientError> {
        self.post(&format!("/accounts/{group}/members"), new, Again::ByKey).await
    }

    /// Takes a member out of a group.
    pub async fn remove_member(&self, group: &AccountName, member: &AccountName) -> Result<(), ClientError> {
        self.remove(&format!("/accounts/{group}/members/{member}")).await
    }

    /// Makes an API key.
    pub async fn add_key(&self, account: &AccountName, new: &NewKey) -> Result<MadeKey, ClientError> {
        self.post(&format!("/accounts/{account}/keys"), new, Again::IfUnsent).await
    }

    /// Lists an account's API keys.
    pub fn keys(&self, account: &AccountName) -> Listing<KeyView> {
        self.listing(&format!("/accounts/{account}/keys"), &[])
    }

    /// Revokes an API key.
    pub async fn revoke_key(&self, account: &AccountName, id: &str) -> Result<(), ClientError> {
        self.remove(&format!("/accounts/{account}/keys/{}", segment(id))).await
    }

    /// Sets a password.
    pub async fn set_password(&self, account: &AccountName, new: &NewPassword) -> Result<(), ClientError> {
        let url = self.api(&format!("/accounts/{account}/password"));
        self.call_for_nothing(&Call::new(Method::PUT, url, Again::IfUnsent).json(new)).await
    }

    /// Removes a password.
    pub async fn remove_password(&self, account: &AccountName, removal: &PasswordRemoval) -> Result<(), ClientError> {
        let url = self.api(&format!("/accounts/{account}/password"));
        self.call_for_nothing(&Call::new(Method::DELETE, url, Again::IfUnsent).json(removal)).await
    }

    /// Sets a limit.
    pub async fn set_limit(&self, account: &AccountName, new: &NewLimit) -> Result<LimitView, ClientError> {
        self.send(Method::PUT, &format!("/accounts/{account}/limits"), new, Again::ByKey).await
    }

    /// Lists an account's limits.
    pub fn limits(&self, account: &AccountName) -> Listing<LimitView> {
        self.listing(&format!("/accounts/{account}/limits"), &[])
    }

    /// Removes a limit.
    pub async fn remove_limit(&self, account: &AccountName, on: &str) -> Result<(), ClientError> {
        self.remove(&format!("/accounts/{account}/limits{}", query(&[("on", Some(on))]))).await
    }

    /// Shows what an account's rules hold, and may hold.
    pub async fn usage(&self, account: &AccountName) -> Result<UsageView, ClientError> {
        self.get(&format!("/accounts/{account}/usage")).await
    }

    /// Gives a scope to another owner.
    pub async fn change_scope(&self, scope: &Scope, change: &ScopeChange) -> Result<ScopeView, ClientError> {
        self.send(Method::PATCH, &format!("/scopes/{}", segment(scope.as_str())), change, Again::ByKey).await
    }

    async fn remove(&self, path: &str) -> Result<(), ClientError> {
        self.call_for_nothing(&Call::new(Method::DELETE, self.api(path), Again::ByKey)).await
    }
}
