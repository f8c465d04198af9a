//! Whether anything may be removed at an endpoint: after a restore nothing may, until somebody accepts
//! what is there.

use crate::catalog::lake;
use crate::catalog::wake::Topic;
use crate::catalog::{View, endpoints};
use crate::model::endpoint::{Endpoint, EndpointName};
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::endpoints::{find, free_bytes, tag, to_view};
use crate::service::error::ServiceError;
use crate::service::terms::{Made, Tagged};
use crate::service::view::{AuditView, EndpointView, LockedEndpoint};

/// Accepts what is at an endpoint since the lake was restored. Accepting again changes nothing.
pub async fn accept(ctx: &Context, name: &EndpointName) -> Result<Tagged<EndpointView>, ServiceError> {
    let old = find(&ctx.catalog().view().await?, name).await?;
    ctx.permit_endpoint(Action::Administer, &old)?;
    let (asked, room, name) = (ctx.clone(), free_bytes(ctx, &old).await, name.clone());
    let done = ctx
        .transact(Made::Changed, move |txn| {
            let (ctx, name) = (asked.clone(), name.clone());
            async move {
                let endpoint = find(&txn, &name).await?;
                ctx.expect(&tag(&endpoint))?;
                lake::accept(&txn, endpoint.id, ctx.account()).await?;
                to_view(&ctx, &txn, endpoint, room).await
            }
        })
        .await?;
    if !ctx.is_dry_run() {
        ctx.catalog().wakes().wake(Topic::Rules);
    }
    Ok(done)
}

/// The restores after which an endpoint was, or is, to be accepted.
pub(super) async fn of(view: &View, endpoint: &Endpoint) -> Result<Vec<AuditView>, ServiceError> {
    let audits = lake::audits(view, endpoint.id).await?;
    let shown = audits.into_iter().map(|audit| {
        let (at, by) = audit.accepted.map(|accepted| (accepted.at, accepted.account)).unzip();
        AuditView { restored_at: audit.restored_at, accepted_at: at, accepted_by: by }
    });
    Ok(shown.collect())
}

/// The endpoints at which nothing may be removed.
pub(in crate::service) async fn locked(view: &View) -> Result<Vec<LockedEndpoint>, ServiceError> {
    let mut locked = Vec::new();
    for endpoint in endpoints::all(view).await? {
        if let Some(since) = lake::locked_since(view, endpoint.id).await? {
            locked.push(LockedEndpoint { endpoint: endpoint.name, since });
        }
    }
    Ok(locked)
}
