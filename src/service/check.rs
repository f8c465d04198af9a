//! Checks the catalog against itself, for `dapple doctor` and for the worker that looks now and then.

use crate::catalog::check::{ALL, Limits, run};
use crate::catalog::{Catalog, CatalogError};
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::view::{CheckView, FindingView};

/// Checks every invariant of the catalog for somebody who asks.
pub async fn check(ctx: &Context) -> Result<CheckView, ServiceError> {
    ctx.permit(Action::Administer, "catalog")?;
    Ok(check_catalog(ctx.catalog()).await?)
}

/// Checks every invariant of a catalog.
pub async fn check_catalog(catalog: &Catalog) -> Result<CheckView, CatalogError> {
    let found = run(&catalog.view().await?, Limits::default(), |_| ()).await?;
    let findings = found.into_iter().map(|finding| FindingView {
        invariant: finding.invariant.to_owned(),
        what: finding.what,
        detail: finding.detail,
    });
    Ok(CheckView { checked: ALL.iter().map(|(name, _)| (*name).to_owned()).collect(), findings: findings.collect() })
}
