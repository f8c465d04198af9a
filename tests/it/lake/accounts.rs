//! Accounts: what lets them in, how far that reaches, and what keeps them out.

use std::collections::BTreeSet;

use dapple::client::{Client, ClientError};
use dapple::clock::SystemClock;
use dapple::fault::Fault as _;
use dapple::model::account::{AccountKind, AccountName};
use dapple::model::api_key::KeyScope;
use dapple::service::view::{
    AccountChange, NewAccount, NewDid, NewKey, NewMember, NewPassword, NewScope, NewSession, PasswordRemoval,
    ScopeChange, SecretText,
};

use super::{TestLake, did};

const DAY: u64 = 24 * 3_600;
const PASSWORD: &str = "correct horse battery";

pub(super) fn account(text: &str) -> AccountName {
    AccountName::parse(text).expect("an account")
}

pub(super) fn new_account(name: &str, kind: AccountKind) -> NewAccount {
    NewAccount { name: account(name), kind, admin: false, email: None, description: None }
}

pub(super) fn new_key(scopes: &[KeyScope]) -> NewKey {
    NewKey {
        name: "test".to_owned(),
        scopes: scopes.to_vec(),
        only_scopes: None,
        addresses: Vec::new(),
        expires_seconds: DAY,
    }
}

impl TestLake {
    /// A client with another key or token.
    pub(super) fn with_key(&self, key: &SecretText) -> Client {
        let key = Some(key.reveal().to_owned());
        Client::new(self.url(), key, SystemClock::shared()).expect("a URL").with_pauses(Vec::new())
    }

    /// A client of a new account, whose key has some key scopes.
    pub(super) async fn as_account(&self, name: &str, scopes: &[KeyScope]) -> Client {
        self.client.add_account(&new_account(name, AccountKind::User)).await.expect("added");
        self.with_key(&self.client.add_key(&account(name), &new_key(scopes)).await.expect("a key").key)
    }

    async fn sign_in(&self, name: &str, password: &str) -> Result<Client, ClientError> {
        let new = NewSession { account: name.to_owned(), password: SecretText::new(password.to_owned()) };
        let nobody = Client::new(self.url(), None, SystemClock::shared()).expect("a URL").with_pauses(Vec::new());
        Ok(self.with_key(&nobody.sign_in(&new).await?.token))
    }
}

fn set_password(password: &str, current: Option<&str>) -> NewPassword {
    let secret = |text: &str| SecretText::new(text.to_owned());
    NewPassword { password: secret(password), current: current.map(secret) }
}

#[track_caller]
fn refused<T>(outcome: Result<T, ClientError>, status: u16, code: &str) {
    let problem = outcome.err().expect("it is refused").problem();
    assert_eq!((problem.status, problem.code.as_str()), (status, code), "{problem:?}");
}

#[tokio::test]
async fn a_key_lets_through_what_its_key_scopes_say() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.put_numbered("s:d", "x", 0..1).await;
    let reader = lake.as_account("ada", &[KeyScope::Read]).await;
    let who = reader.whoami().await.expect("let in");
    assert_eq!((who.account, who.admin, who.scopes), (account("ada"), false, vec![KeyScope::Read]));
    assert!(who.expires_at.is_some() && who.authenticated_at.is_none());
    reader.did(&did("s:d")).await.expect("it reads");
    let new = NewDid { did: did("s:e"), kind: dapple::model::did::DidKind::Dataset };
    refused(reader.create_did(&new).await, 403, "key-scope");
    let rule = dapple::service::view::NewRule {
        did: did("s:d"),
        copies: 1,
        expression: "*".to_owned(),
        grouping: dapple::model::rule::Grouping::All,
        lifetime_seconds: None,
    };
    refused(reader.create_rule(&rule).await, 403, "key-scope");
    let ruler = lake.as_account("bob", &[KeyScope::Rules]).await;
    ruler.create_rule(&rule).await.expect("a rule, though it reads nothing else");
    refused(ruler.did(&did("s:d")).await, 403, "key-scope");
    let writer = lake.as_account("cleo", &[KeyScope::Write]).await;
    let owner = ScopeChange { owner: account("cleo") };
    lake.client.change_scope(&"s".to_owned().try_into().expect("a scope"), &owner).await.expect("changed");
    assert_eq!(writer.create_did(&new).await.expect("made").account, account("cleo"), "who makes it, owns it");
}

#[tokio::test]
async fn a_key_for_some_data_finds_no_other() {
    let lake = TestLake::with_endpoints(&["x"]).await;
    let other = NewScope { scope: "t".to_owned().try_into().expect("a scope"), owner: None };
    lake.client.add_scope(&other).await.expect("added");
    for dataset in ["s:d", "t:d"] {
        lake.put_numbered(dataset, "x", 0..1).await;
    }
    let (seen, hidden) = (lake.rule("t:d", 1, "*").await, lake.rule("s:d", 1, "*").await);
    lake.client.add_account(&new_account("ada", AccountKind::Service)).await.expect("added");
    let owner = ScopeChange { owner: account("ada") };
    lake.client.change_scope(&other.scope, &owner).await.expect("changed");
    let scopes = [KeyScope::Read, KeyScope::Write, KeyScope::Rules];
    let new = NewKey { only_scopes: Some(vec![other.scope.clone()]), ..new_key(&scopes) };
    let ada = lake.with_key(&lake.client.add_key(&account("ada"), &new).await.expect("a key").key);
    ada.did(&did("t:d")).await.expect("covered");
    refused(ada.did(&did("s:d")).await, 404, "not-found");
    refused(ada.did(&did("s:nothing")).await, 404, "not-found");
    let scopes = ada.scopes().page(10, None).await.expect("listed").items;
    assert_eq!(scopes.iter().map(|scope| scope.scope.as_str()).collect::<Vec<_>>(), ["t"]);
    let rules = ada.rules(None).page(10, None).await.expect("listed").items;
    assert_eq!(rules.iter().map(|rule| rule.id).collect::<Vec<_>>(), [seen]);
    refused(ada.rule(hidden).await, 404, "not-found");
    refused(ada.remove_rule(hidden).await, 404, "not-found");
    refused(ada.explain_rule(hidden).await, 404, "not-found");
    let members = dapple::service::view::Members { dids: vec![did("s:d/0")] };
    refused(ada.attach(&did("t:d"), &members).await, 404, "not-found");
    let url = |of| dapple::service::view::NewUrl { did: did(of), expires_seconds: 60, from: None, redirect: false };
    refused(ada.mint(&url("s:d")).await, 404, "not-found");
    ada.mint(&url("t:d/0")).await.expect("covered");
    // What a dataset holds may be of any scope.
    refused(ada.mint(&url("t:d")).await, 400, "key-too-narrow");
}

#[tokio::test]
async fn a_key_reaches_no_farther_than_the_key_that_made_it() {
    let lake = TestLake::with_endpoints(&[]).await;
    let ada = lake.as_account("ada", &[KeyScope::Read, KeyScope::Write]).await;
    let name = account("ada");
    let made = ada.add_key(&name, &NewKey { expires_seconds: 60, ..new_key(&[KeyScope::Read]) }).await;
    let narrower = made.expect("a narrower one");
    refused(ada.add_key(&name, &new_key(&[KeyScope::Rules])).await, 400, "key-too-wide");
    let longer = NewKey { expires_seconds: 2 * DAY, ..new_key(&[KeyScope::Read]) };
    refused(ada.add_key(&name, &longer).await, 400, "key-too-wide");
    let admin = &lake.client;
    let table = [
        (NewKey { expires_seconds: 366 * DAY, ..new_key(&[KeyScope::Read]) }, "invalid-expiry"),
        (NewKey { expires_seconds: 0, ..new_key(&[KeyScope::Read]) }, "invalid-expiry"),
        (new_key(&[]), "invalid-key-scope"),
        (NewKey { only_scopes: Some(Vec::new()), ..new_key(&[KeyScope::Read]) }, "invalid-key-scope"),
    ];
    for (new, code) in table {
        refused(admin.add_key(&name, &new).await, 400, code);
    }
    let s = || Some(vec!["s".to_owned().try_into().expect("a scope")]);
    let whole = NewKey { only_scopes: s(), ..new_key(&KeyScope::ALL) };
    refused(admin.add_key(&name, &whole).await, 400, "invalid-key-scope");
    // Others' keys are neither made nor seen.
    admin.add_account(&new_account("bob", AccountKind::User)).await.expect("added");
    refused(ada.add_key(&account("bob"), &new_key(&[KeyScope::Read])).await, 404, "not-found");
    refused(ada.keys(&account("root")).page(10, None).await, 404, "not-found");
    refused(ada.revoke_key(&account("root"), "x").await, 404, "not-found");
    // Revoked at once.
    let reader = lake.with_key(&narrower.key);
    reader.whoami().await.expect("let in");
    let listed = ada.keys(&name).page(10, None).await.expect("listed").items;
    let used = listed.iter().find(|key| key.id == narrower.made.id).expect("listed");
    assert!(used.last_used_at.is_some() && used.expires_at.is_some() && used.made_by == name);
    ada.revoke_key(&name, &narrower.made.id).await.expect("revoked");
    refused(reader.whoami().await, 401, "unauthenticated");
    refused(ada.revoke_key(&name, &narrower.made.id).await, 404, "not-found");
    let roots = admin.keys(&account("root")).page(10, None).await.expect("listed").items;
    assert!(roots.iter().any(|key| key.name == "admin.key" && key.expires_at.is_none()), "{roots:?}");
}

#[tokio::test]
async fn a_key_opens_only_from_its_addresses_and_until_its_end() {
    let lake = TestLake::with_endpoints(&[]).await;
    lake.client.add_account(&new_account("ada", AccountKind::User)).await.expect("added");
    for (range, is_let_in) in [("127.0.0.0/8", true), ("::ffff:127.0.0.1/128", true), ("192.0.2.0/24", false)] {
        let new = NewKey { addresses: vec![range.parse().expect("a range")], ..new_key(&[KeyScope::Read]) };
        let made = lake.client.add_key(&account("ada"), &new).await.expect("a key");
        assert_eq!(lake.with_key(&made.key).whoami().await.is_ok(), is_let_in, "{range}");
    }
    let brief = NewKey { expires_seconds: 1, ..new_key(&[KeyScope::Read]) };
    let brief = lake.with_key(&lake.client.add_key(&account("ada"), &brief).await.expect("a key").key);
    let started = std::time::Instant::now();
    while brief.whoami().await.is_ok() {
        assert!(started.elapsed() < super::PATIENCE, "it never ends");
        super::pause().await;
    }
    refused(brief.whoami().await, 401, "unauthenticated");
}

#[tokio::test]
async fn only_admins_change_accounts_and_what_is_suspended_is_out() {
    let lake = TestLake::with_endpoints(&[]).await;
    let ada = lake.as_account("ada", &KeyScope::ALL).await;
    refused(ada.add_account(&new_account("eve", AccountKind::User)).await, 403, "denied");
    let promote = AccountChange { admin: Some(true), ..AccountChange::default() };
    refused(ada.change_account(&account("ada"), &promote).await, 403, "denied");
    refused(ada.account(&account("root")).await, 404, "not-found");
    let seen = ada.accounts().page(10, None).await.expect("listed").items;
    assert_eq!(seen.iter().map(|view| view.name.as_str()).collect::<Vec<_>>(), ["ada"]);
    let mail = AccountChange { email: Some("ada@example.org".to_owned()), ..AccountChange::default() };
    let changed = ada.change_account(&account("ada"), &mail).await.expect("one's own");
    assert_eq!(changed.email.as_deref(), Some("ada@example.org"));
    refused(lake.client.add_account(&new_account("ada", AccountKind::User)).await, 409, "exists");
    let suspend = |is| AccountChange { suspended: Some(is), ..AccountChange::default() };
    lake.client.change_account(&account("ada"), &suspend(true)).await.expect("suspended");
    refused(ada.whoami().await, 401, "unauthenticated");
    lake.client.change_account(&account("ada"), &suspend(false)).await.expect("let in again");
    ada.whoami().await.expect("let in");
    lake.client.change_account(&account("ada"), &promote).await.expect("promoted");
    ada.add_account(&new_account("eve", AccountKind::User)).await.expect("an admin may");
    refused(lake.client.change_account(&account("root"), &suspend(true)).await, 409, "root-stays");
    // A scope has an owner.
    let scope = NewScope { scope: "t".to_owned().try_into().expect("a scope"), owner: Some(account("eve")) };
    assert_eq!(ada.add_scope(&scope).await.expect("added").account, account("eve"));
    let change = dapple::service::view::ScopeChange { owner: account("ada") };
    assert_eq!(ada.change_scope(&scope.scope, &change).await.expect("changed").account, account("ada"));
    let nobody = dapple::service::view::ScopeChange { owner: account("nobody") };
    refused(ada.change_scope(&scope.scope, &nobody).await, 404, "not-found");
}

#[tokio::test]
async fn groups_are_in_groups_but_not_in_circles() {
    let lake = TestLake::with_endpoints(&[]).await;
    let ada = lake.as_account("ada", &[KeyScope::Read]).await;
    for number in 0..9 {
        lake.client.add_account(&new_account(&format!("g{number}"), AccountKind::Group)).await.expect("added");
    }
    let join = async |group: &str, member: &str| {
        lake.client.add_member(&account(group), &NewMember { account: account(member) }).await
    };
    join("g0", "ada").await.expect("a member");
    join("g0", "ada").await.expect("once more");
    for number in 1..8 {
        join(&format!("g{number}"), &format!("g{}", number - 1)).await.expect("a group in a group");
    }
    refused(join("g8", "g7").await, 400, "groups-too-deep");
    refused(join("g0", "g7").await, 409, "group-circle");
    refused(join("g0", "g0").await, 409, "group-circle");
    refused(join("ada", "g0").await, 400, "invalid-kind");
    refused(join("g0", "nobody").await, 404, "not-found");
    let groups: BTreeSet<_> = ada.whoami().await.expect("let in").groups.into_iter().collect();
    assert_eq!(groups, (0..8).map(|number| account(&format!("g{number}"))).collect());
    let members = ada.members(&account("g1")).page(10, None).await.expect("her group").items;
    assert_eq!(members.iter().map(|member| member.account.as_str()).collect::<Vec<_>>(), ["g0"]);
    refused(ada.members(&account("g8")).page(10, None).await, 404, "not-found");
    lake.client.remove_member(&account("g1"), &account("g0")).await.expect("out");
    assert_eq!(ada.whoami().await.expect("let in").groups, [account("g0")]);
    refused(lake.client.add_key(&account("g0"), &new_key(&[KeyScope::Read])).await, 400, "invalid-kind");
}

#[tokio::test]
async fn a_password_gives_a_session_until_it_changes() {
    let lake = TestLake::with_endpoints(&[]).await;
    lake.client.add_account(&new_account("ada", AccountKind::User)).await.expect("added");
    let name = account("ada");
    refused(lake.client.set_password(&name, &set_password("eleven char", None)).await, 400, "invalid-password");
    refused(lake.sign_in("ada", PASSWORD).await, 401, "unauthenticated");
    lake.client.set_password(&name, &set_password(PASSWORD, None)).await.expect("set");
    let wrong = lake.sign_in("ada", "wrong horse battery").await.err().expect("wrong").problem();
    let nobody = lake.sign_in("nobody", PASSWORD).await.err().expect("unknown").problem();
    assert_eq!((wrong.status, &wrong.code, &wrong.detail), (nobody.status, &nobody.code, &nobody.detail));
    let (ada, second) = (lake.sign_in("ada", PASSWORD).await, lake.sign_in("ada", PASSWORD).await);
    let (ada, second) = (ada.expect("let in"), second.expect("let in"));
    assert!(ada.whoami().await.expect("let in").authenticated_at.is_some());
    second.sign_out().await.expect("out");
    refused(second.whoami().await, 401, "unauthenticated");
    // One's own is changed by who knows it; that ends every session.
    let other = "another horse battery";
    refused(ada.set_password(&name, &set_password(other, None)).await, 400, "wrong-password");
    refused(ada.set_password(&name, &set_password(other, Some("wrong"))).await, 400, "wrong-password");
    ada.set_password(&name, &set_password(other, Some(PASSWORD))).await.expect("changed");
    refused(ada.whoami().await, 401, "unauthenticated");
    refused(lake.sign_in("ada", PASSWORD).await, 401, "unauthenticated");
    let ada = lake.sign_in("ada", other).await.expect("let in");
    // A key that holds something back does not become a session.
    let reader = ada.add_key(&name, &new_key(&[KeyScope::Read])).await.expect("a key");
    let reader = lake.with_key(&reader.key);
    refused(reader.set_password(&name, &set_password(PASSWORD, Some(other))).await, 400, "key-too-narrow");
    let suspend = AccountChange { suspended: Some(true), ..AccountChange::default() };
    lake.client.change_account(&name, &suspend).await.expect("suspended");
    refused(ada.whoami().await, 401, "unauthenticated");
    refused(lake.sign_in("ada", other).await, 401, "unauthenticated");
    let resume = AccountChange { suspended: Some(false), ..AccountChange::default() };
    lake.client.change_account(&name, &resume).await.expect("let in");
    refused(ada.whoami().await, 401, "unauthenticated");
    // One's own goes as it is changed: by who knows it. An admin need not.
    let ada = lake.sign_in("ada", other).await.expect("let in");
    let saying =
        |current: Option<&str>| PasswordRemoval { current: current.map(|text| SecretText::new(text.to_owned())) };
    refused(ada.remove_password(&name, &saying(None)).await, 400, "wrong-password");
    refused(ada.remove_password(&name, &saying(Some("wrong"))).await, 400, "wrong-password");
    refused(reader.remove_password(&name, &saying(Some(other))).await, 400, "key-too-narrow");
    ada.remove_password(&name, &saying(Some(other))).await.expect("removed");
    refused(lake.sign_in("ada", other).await, 401, "unauthenticated");
    lake.client.set_password(&name, &set_password(PASSWORD, None)).await.expect("set");
    let bare = reqwest::Client::new().delete(format!("{}/api/v1/accounts/ada/password", lake.url()));
    assert_eq!(bare.bearer_auth(lake.key()).send().await.expect("an answer").status(), 204, "without a body");
    refused(lake.sign_in("ada", PASSWORD).await, 401, "unauthenticated");
}

#[tokio::test]
async fn an_admin_key_that_was_revoked_stays_so() {
    let mut lake = TestLake::with_endpoints(&[]).await;
    let root = account("root");
    let keys = lake.client.keys(&root).page(10, None).await.expect("listed").items;
    let id = &keys.iter().find(|key| key.name == "admin.key").expect("listed").id;
    let spare = lake.client.add_key(&root, &new_key(&KeyScope::ALL)).await.expect("a key").key;
    lake.client.revoke_key(&root, id).await.expect("it revokes itself");
    refused(lake.client.whoami().await, 401, "unauthenticated");
    let revoked = lake.key().to_owned();
    lake.restart().await;
    assert_eq!(lake.key(), revoked, "the file is still there");
    refused(lake.client.whoami().await, 401, "unauthenticated");
    lake.with_key(&spare).whoami().await.expect("the lake is well without it");
    std::fs::remove_file(lake.directory.path().join("lake/admin.key")).expect("removed");
    lake.restart().await;
    assert_ne!(lake.key(), revoked);
    assert_eq!(lake.client.whoami().await.expect("let in").account, root);
    refused(lake.with_key(&SecretText::new(revoked)).whoami().await, 401, "unauthenticated");
}

#[tokio::test]
async fn guesses_are_few() {
    let lake = TestLake::with_endpoints(&[]).await;
    lake.client.add_account(&new_account("ada", AccountKind::User)).await.expect("added");
    lake.client.set_password(&account("ada"), &set_password(PASSWORD, None)).await.expect("set");
    for _ in 0..10 {
        refused(lake.sign_in("ada", "wrong horse battery").await, 401, "unauthenticated");
    }
    let many = lake.sign_in("ada", PASSWORD).await.err().expect("even the right one");
    assert_eq!(many.kind(), dapple::fault::Kind::Unavailable);
    refused::<()>(Err(many), 429, "too-many-logins");
}
