//! Closing: a dataset or container that is closed takes no more members, until it is opened again.

use crate::catalog::history::set_closed;
use crate::model::did::{Did, DidKind};
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::dids::{present_tag, shown};
use crate::service::error::ServiceError;
use crate::service::terms::{Made, Tagged};
use crate::service::view::{DidChange, DidView};

/// Closes a dataset or container, or opens it again. Whoever may attach may do both.
pub async fn change(ctx: &Context, did: Did, change: DidChange) -> Result<Tagged<DidView>, ServiceError> {
    let asking = ctx.clone();
    ctx.transact(Made::Changed, move |txn| {
        let (ctx, did) = (asking.clone(), did.clone());
        async move {
            let mut sight = ctx.sight(&txn);
            let (seen, _) = sight.did_for(Action::Write, &did).await?;
            if seen.record.kind() == DidKind::File {
                return Err(ServiceError::Invalid {
                    code: "invalid-kind",
                    detail: format!("`{did}` is a file, and has no members to be closed for"),
                    hint: Some("name a dataset or container".to_owned()),
                });
            }
            ctx.expect(&present_tag(&txn, &seen).await?)?;
            set_closed(&txn, seen.id, ctx.account(), change.closed).await?;
            shown(&mut sight, seen).await
        }
    })
    .await
}
