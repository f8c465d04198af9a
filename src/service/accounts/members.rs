//! Groups and their members. Groups may be in groups, but never in themselves, and not without end.

use crate::catalog::record::accounts::MemberRecord;
use crate::catalog::record::placing::CauseRecord;
use crate::catalog::record::{AccountMembers, GroupsOf};
use crate::catalog::wake::Topic;
use crate::catalog::{View, placing};
use crate::model::account::{AccountKind, AccountName};
use crate::model::change::Change;
use crate::service::Context;
use crate::service::accounts::administer;
use crate::service::accounts::authenticate::GROUPS_MAX;
use crate::service::accounts::manage::{require, require_visible};
use crate::service::error::ServiceError;
use crate::service::paging::{Paging, page};
use crate::service::terms::Made;
use crate::service::view::{MemberView, NewMember, Page};

/// How many groups may stand above each other.
const DEPTH_MAX: usize = 8;

/// Adds a member to a group; one that is in it already changes nothing.
pub async fn add(ctx: &Context, group: &AccountName, new: NewMember) -> Result<MemberView, ServiceError> {
    administer(ctx, group)?;
    let group = group.clone();
    let done = ctx.transact_untagged(Made::New, move |txn| {
        let (group, account) = (group.clone(), new.account.clone());
        async move {
            require_group(&txn, &group).await?;
            require(&txn, &account).await?;
            let key = (group.to_string(), account.to_string());
            if let Some(known) = txn.get::<AccountMembers>(&key).await? {
                return Ok(MemberView { account, added_at: known.added_at });
            }
            check_circle(&txn, &group, &account).await?;
            let record = MemberRecord { added_at: txn.now() };
            txn.put::<AccountMembers>(&key, &record);
            placing::tell(&txn, &CauseRecord::Account(account.clone()));
            txn.emit(&Change::AccountChanged { account: account.to_string() });
            Ok(MemberView { account, added_at: record.added_at })
        }
    });
    let done = done.await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    Ok(done)
}

/// Takes a member out of a group.
pub async fn remove(ctx: &Context, group: &AccountName, account: &AccountName) -> Result<(), ServiceError> {
    administer(ctx, group)?;
    let (group, account) = (group.clone(), account.clone());
    let done = ctx.transact_untagged(Made::Gone, move |txn| {
        let (group, account) = (group.clone(), account.clone());
        async move {
            require_group(&txn, &group).await?;
            let key = (group.to_string(), account.to_string());
            let record = txn.get::<AccountMembers>(&key).await?;
            let record = record.ok_or_else(|| ServiceError::not_found("member", &account))?;
            txn.delete::<AccountMembers>(&key, &record);
            placing::tell(&txn, &CauseRecord::Account(account.clone()));
            txn.emit(&Change::AccountChanged { account: account.to_string() });
            Ok::<_, ServiceError>(())
        }
    });
    done.await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    Ok(())
}

/// Lists the members of a group by name, to admins and to who is in it.
pub async fn list(ctx: &Context, group: &AccountName, paging: Paging) -> Result<Page<MemberView>, ServiceError> {
    let limit = paging.limit()?;
    let after: String = paging.after()?.unwrap_or_default();
    let view = ctx.catalog().view().await?;
    require_visible(ctx, &view, group).await?;
    require_group(&view, group).await?;
    let group = group.to_string();
    let rows = view.scan_after::<AccountMembers>(&(group.clone(),), &(group, after), limit).await?;
    let full = rows.len() == limit;
    let name = |name: &str| AccountName::parse(name).expect("only accounts are members");
    let items =
        rows.into_iter().map(|((_, member), record)| MemberView { account: name(&member), added_at: record.added_at });
    Ok(page(items.collect(), full, |item| item.account.to_string()))
}

async fn require_group(view: &View, group: &AccountName) -> Result<(), ServiceError> {
    match require(view, group).await?.kind {
        AccountKind::Group => Ok(()),
        kind => Err(ServiceError::Invalid {
            code: "invalid-kind",
            detail: format!("`{group}` is a {}; only groups have members", kind.name()),
            hint: Some("make one with `dapple account add NAME --kind group`".to_owned()),
        }),
    }
}

/// Refuses a membership that would put a group into itself, or too deep.
async fn check_circle(view: &View, group: &AccountName, account: &AccountName) -> Result<(), ServiceError> {
    let above = crate::catalog::subjects::groups(view, group).await?;
    if group == account || above.contains(account) {
        return Err(ServiceError::Conflict {
            code: "group-circle",
            detail: format!("`{account}` in `{group}` would be in itself"),
            hint: Some(format!("see `dapple account show {group}`")),
        });
    }
    let deep = height(view, account.as_str(), 0).await? + depth(view, group.as_str(), 0).await?;
    if deep > DEPTH_MAX || above.len() >= GROUPS_MAX {
        let detail = format!("at most {DEPTH_MAX} groups stand above each other, and {GROUPS_MAX} above one account");
        return Err(ServiceError::invalid("groups-too-deep", detail));
    }
    Ok(())
}

/// How many groups stand on the longest way up from a group, itself included. There are no circles,
/// and no way is longer than the most allowed.
async fn depth(view: &View, group: &str, below: usize) -> Result<usize, ServiceError> {
    let mut deepest = 0;
    if below < DEPTH_MAX {
        for ((_, above), ()) in view.scan::<GroupsOf>(&(group.to_owned(),), GROUPS_MAX).await? {
            deepest = deepest.max(Box::pin(depth(view, &above, below + 1)).await?);
        }
    }
    Ok(deepest + 1)
}

/// How many groups stand on the longest way down from an account, itself included if it is a group.
async fn height(view: &View, account: &str, above: usize) -> Result<usize, ServiceError> {
    let members = view.scan::<AccountMembers>(&(account.to_owned(),), GROUPS_MAX).await?;
    let is_group = match AccountName::parse(account) {
        Ok(name) => require(view, &name).await?.kind == AccountKind::Group,
        Err(_) => false,
    };
    let mut highest = 0;
    if above < DEPTH_MAX {
        for ((_, member), _) in members {
            highest = highest.max(Box::pin(height(view, &member, above + 1)).await?);
        }
    }
    Ok(highest + usize::from(is_group))
}
