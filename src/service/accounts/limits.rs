//! Limits: how much an account's rules may hold, and how much they do.

use crate::catalog::ledger::holdings;
use crate::catalog::record::AccountLimits;
use crate::catalog::record::accounts::LimitRecord;
use crate::catalog::wake::Topic;
use crate::catalog::{View, endpoints};
use crate::model::account::AccountName;
use crate::model::change::Change;
use crate::model::endpoint::Endpoint;
use crate::model::expression::Expression;
use crate::rules::quota::{LIMITS_MAX, Quota};
use crate::service::Context;
use crate::service::accounts::administer;
use crate::service::accounts::manage::{require, require_visible};
use crate::service::error::ServiceError;
use crate::service::terms::Made;
use crate::service::view::{HoldingView, LimitView, NewLimit, Page, UsageView};

/// Sets a limit; one on the same expression is replaced. What is held already stays.
pub async fn set(ctx: &Context, account: &AccountName, new: NewLimit) -> Result<LimitView, ServiceError> {
    administer(ctx, account)?;
    let on = Expression::parse(&new.on)?;
    let (name, bytes) = (account.clone(), new.bytes);
    let shown = ctx
        .transact_untagged(Made::Changed, move |txn| {
            let (account, on) = (name.clone(), on.clone());
            async move {
                require(&txn, &account).await?;
                let key = (account.to_string(), on.as_str().to_owned());
                let known = txn.scan::<AccountLimits>(&(account.to_string(),), LIMITS_MAX).await?;
                if known.len() == LIMITS_MAX && known.iter().all(|(known, _)| *known != key) {
                    let detail = format!("an account has at most {LIMITS_MAX} limits");
                    return Err(ServiceError::invalid("too-many-limits", detail));
                }
                txn.put::<AccountLimits>(&key, &LimitRecord { on, bytes, set_at: txn.now() });
                holdings::tell_room(&txn).await?;
                txn.emit(&Change::AccountChanged { account: account.to_string() });
                let limits = read(&txn, &account, &endpoints::all(&txn).await?).await?;
                let limit = limits.into_iter().find(|limit| limit.on == key.1);
                limit.ok_or_else(|| ServiceError::not_found("limit", &key.1))
            }
        })
        .await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    Ok(shown)
}

/// Lists an account's limits.
pub async fn list(ctx: &Context, account: &AccountName) -> Result<Page<LimitView>, ServiceError> {
    let view = ctx.catalog().view().await?;
    require_visible(ctx, &view, account).await?;
    let mut items = read(&view, account, &endpoints::all(&view).await?).await?;
    if administer(ctx, account).is_err() {
        items.iter_mut().for_each(round);
    }
    Ok(Page { items, next: None })
}

/// Removes a limit.
pub async fn remove(ctx: &Context, account: &AccountName, on: &str) -> Result<(), ServiceError> {
    administer(ctx, account)?;
    let key = (account.to_string(), on.to_owned());
    ctx.transact_untagged(Made::Gone, move |txn| {
        let key = key.clone();
        async move {
            let known = txn.get::<AccountLimits>(&key).await?;
            known.ok_or_else(|| ServiceError::not_found("limit", &key.1))?;
            txn.clear::<AccountLimits>(&key);
            holdings::tell_room(&txn).await?;
            txn.emit(&Change::AccountChanged { account: key.0 });
            Ok::<_, ServiceError>(())
        }
    })
    .await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    Ok(())
}

/// Below this, nobody but admins is told how much an account holds.
const ROUND_BYTES: u64 = 1 << 20;

/// A number of bytes as those know it who may not know of all that it is a sum of: rounded up to an
/// eighth of its power of two, and to whole MiB.
fn rounded(bytes: u64) -> u64 {
    let step = (bytes.checked_ilog2().map_or(0, |log| 1_u64 << log) / 8).max(ROUND_BYTES);
    bytes.checked_next_multiple_of(step).unwrap_or(u64::MAX)
}

/// Rounds what is used of a limit. Whoever keeps to it is not told otherwise.
fn round(limit: &mut LimitView) {
    let most = if limit.used_bytes <= limit.bytes { limit.bytes } else { u64::MAX };
    limit.used_bytes = rounded(limit.used_bytes).min(most);
}

/// Shows what an account's rules hold, and may hold. What is hidden counts too, so that it is told
/// exactly to admins alone.
pub async fn usage(ctx: &Context, account: &AccountName) -> Result<UsageView, ServiceError> {
    let view = ctx.catalog().view().await?;
    require_visible(ctx, &view, account).await?;
    let endpoints = endpoints::all(&view).await?;
    let held = holdings::held(&view, account).await?;
    let natural = |number: i64| u64::try_from(number).unwrap_or(0);
    let whole = administer(ctx, account).is_ok();
    let shown = |bytes: u64| if whole { bytes } else { rounded(bytes) };
    let holdings = endpoints.iter().filter_map(|endpoint| {
        let tally = held.get(&endpoint.id)?;
        let files = whole.then(|| natural(tally.files));
        Some(HoldingView { endpoint: endpoint.name.clone(), files, bytes: shown(natural(tally.bytes)) })
    });
    let holdings = holdings.collect();
    let mut limits = read(&view, account, &endpoints).await?;
    if !whole {
        limits.iter_mut().for_each(round);
    }
    Ok(UsageView { account: account.clone(), holdings, limits })
}

async fn read(view: &View, account: &AccountName, endpoints: &[Endpoint]) -> Result<Vec<LimitView>, ServiceError> {
    let quota = Quota::read(view, account, endpoints).await?;
    let names = |ids: &std::collections::BTreeSet<_>| {
        let selected = endpoints.iter().filter(|endpoint| ids.contains(&endpoint.id));
        selected.map(|endpoint| endpoint.name.clone()).collect()
    };
    let limits = quota.limits.into_iter().map(|limit| LimitView {
        account: account.clone(),
        endpoints: names(&limit.endpoints),
        on: limit.on,
        bytes: limit.bytes,
        used_bytes: limit.used,
    });
    Ok(limits.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rounded_is_never_less_and_hides_what_is_small() {
        let mib = 1 << 20;
        for (bytes, shown) in [(0, 0), (1, mib), (mib, mib), (mib + 1, 2 * mib), (17 * mib, 18 * mib)] {
            assert_eq!(rounded(bytes), shown, "{bytes}");
        }
        assert_eq!(rounded((1 << 40) + 1), (1 << 40) + (1 << 37));
        assert_eq!(rounded(u64::MAX), u64::MAX);
    }
}
