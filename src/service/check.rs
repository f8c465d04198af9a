//! Checks the catalog against itself, for `dapple doctor` and for the worker that looks now and then.

use crate::catalog::check::{ALL, Limits, run};
use crate::catalog::record::Facts;
use crate::catalog::{Catalog, CatalogError, endpoints};
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::endpoints::audit;
use crate::service::error::ServiceError;
use crate::service::view::{CheckView, FindingView};

/// The name of the check that every endpoint's secret can be opened.
pub const SECRETS_OPEN: &str = "secrets-open";

/// Checks every invariant of the catalog for somebody who asks, and whether the process's instance
/// key opens what the catalog has sealed.
pub async fn check(ctx: &Context) -> Result<CheckView, ServiceError> {
    ctx.permit(Action::Administer, "catalog")?;
    let mut check = check_catalog(ctx.catalog()).await?;
    check.checked.push(SECRETS_OPEN.to_owned());
    let view = ctx.catalog().view().await?;
    check.removal_locked = audit::locked(&view).await?;
    for endpoint in endpoints::all(&view).await? {
        if let Err(error) = ctx.lake.stores.unlock(&endpoint) {
            check.findings.push(FindingView {
                invariant: SECRETS_OPEN.to_owned(),
                what: format!("endpoint {}", endpoint.name),
                detail: error.to_string(),
            });
        }
    }
    Ok(check)
}

/// Checks every invariant of a catalog.
pub async fn check_catalog(catalog: &Catalog) -> Result<CheckView, CatalogError> {
    let found = run(&catalog.view().await?, Limits::default(), |_| ()).await?;
    let findings = found.into_iter().map(|finding| FindingView {
        invariant: finding.invariant.to_owned(),
        what: finding.what,
        detail: finding.detail,
    });
    Ok(CheckView {
        checked: ALL.iter().map(|(name, _)| (*name).to_owned()).collect(),
        findings: findings.collect(),
        removal_locked: Vec::new(),
    })
}

/// Tells whether the catalog takes transactions: one that reads a row goes the way of all.
pub async fn catalog_answers(catalog: &Catalog) -> Result<(), CatalogError> {
    catalog.transact(|txn| async move { txn.get::<Facts>(&("ready".to_owned(),)).await.map(|_| ()) }).await
}
