//! Accounts as policies know them, for decisions that are made when nobody is asking: for the
//! account behind a rule, an upload or a signed URL.

use std::collections::BTreeSet;

use crate::catalog::record::{Accounts, GroupsOf};
use crate::catalog::{CatalogError, View};
use crate::model::account::AccountName;
use crate::model::facts::Subject;

/// The most groups above one account.
const GROUPS_MAX: usize = 1_000;

/// An account and whether it is suspended; `None` if there is no such account.
pub async fn subject(view: &View, account: &AccountName) -> Result<Option<(Subject, bool)>, CatalogError> {
    let Some(record) = view.get::<Accounts>(&(account.to_string(),)).await? else {
        return Ok(None);
    };
    let groups = groups(view, account).await?;
    let subject = Subject::Account { name: account.clone(), kind: record.kind, admin: record.admin, groups };
    Ok(Some((subject, record.suspended_at.is_some())))
}

/// The account behind a rule: it keeps its say while it is suspended, as data must not move because
/// somebody is away, and has none when it is not there.
pub async fn behind(view: &View, account: &AccountName) -> Result<Subject, CatalogError> {
    Ok(subject(view, account).await?.map_or(Subject::Anonymous, |(subject, _)| subject))
}

/// The groups an account is in, by itself or through other groups.
pub async fn groups(view: &View, account: &AccountName) -> Result<BTreeSet<AccountName>, CatalogError> {
    let mut found = BTreeSet::new();
    let mut open = vec![account.to_string()];
    while let Some(member) = open.pop() {
        for ((_, group), ()) in view.scan::<GroupsOf>(&(member,), GROUPS_MAX).await? {
            let name = AccountName::parse(&group).expect("only accounts are stored as groups");
            if found.len() < GROUPS_MAX && found.insert(name) {
                open.push(group);
            }
        }
    }
    Ok(found)
}
