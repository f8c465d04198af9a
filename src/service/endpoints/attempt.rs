//! Tries an endpoint before it is relied on: makes its root if that is wished, and probes it. Says
//! what to do where that fails.

use std::time::Duration;

use crate::clock::within;
use crate::model::endpoint::{Endpoint, EndpointKind};
use crate::model::probe::Probe;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::storage::backend::{PROBE_CLEAN_SPAN_MAX, PROBE_SPAN_MAX, StorageError};

/// How long a storage may take to show what it can do. Within that it ends by itself and removes what
/// it made, so this is for what hangs.
const ATTEMPT_SPAN_MAX: Duration = PROBE_SPAN_MAX.saturating_add(PROBE_CLEAN_SPAN_MAX).saturating_add(EXTRA_SPAN);
/// What is left for its root and for what earlier probes left.
const EXTRA_SPAN: Duration = Duration::from_secs(12);
/// The most bytes that are kept of what was seen with one finding.
const SEEN_BYTES_MAX: usize = 200;

/// Whether a root that is missing is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Make,
    Expect,
}

/// Probes an endpoint as it is or would be; nothing is stored. A rehearsal leaves the storage alone,
/// as a probe writes, and keeps what was seen before.
pub(super) async fn attempt(ctx: &Context, endpoint: &Endpoint, root: Root) -> Result<Option<Probe>, ServiceError> {
    if ctx.is_dry_run() {
        return Ok(endpoint.probe.clone());
    }
    tried(ctx, endpoint, root).await.map(Some).map_err(|error| unusable(endpoint, &error))
}

async fn tried(ctx: &Context, endpoint: &Endpoint, root: Root) -> Result<Probe, StorageError> {
    let (clock, backend) = (ctx.catalog().clock(), ctx.lake.stores.open(endpoint)?);
    let work = async {
        if root == Root::Make {
            backend.create_root().await?;
        }
        backend.probe().await
    };
    let late = || {
        let what = format!("it was not probed within {} seconds", ATTEMPT_SPAN_MAX.as_secs());
        Err(StorageError::Unavailable { path: endpoint.location.clone(), what })
    };
    let mut findings = within(clock.as_ref(), ATTEMPT_SPAN_MAX, work).await.unwrap_or_else(late)?;
    for finding in &mut findings {
        let end = finding.seen.floor_char_boundary(SEEN_BYTES_MAX);
        finding.seen.truncate(end);
    }
    findings.sort_by_key(|finding| finding.feature);
    Ok(Probe { at: clock.now(), findings })
}

/// The error for whoever wanted to use the endpoint, with the next step by kind of error.
fn unusable(endpoint: &Endpoint, error: &StorageError) -> ServiceError {
    ServiceError::Invalid {
        code: "endpoint-unusable",
        detail: format!("`{}` cannot be used as an endpoint: {error}", endpoint.location),
        hint: next_step(endpoint, error),
    }
}

fn next_step(endpoint: &Endpoint, error: &StorageError) -> Option<String> {
    let remote = matches!(endpoint.kind, EndpointKind::S3 | EndpointKind::Webdav);
    let step = match error {
        StorageError::NoRoot { .. } => match endpoint.kind {
            EndpointKind::S3 => "check the bucket's name; `endpoint add --create` makes a missing bucket",
            EndpointKind::Webdav => "check the URL's path; `endpoint add --create` makes a missing collection",
            _ => "dapple needs a directory that it can write; `endpoint add --create` makes a missing one",
        },
        StorageError::Denied { .. } if !remote => "let the account that dapple runs under read and write there",
        StorageError::Denied { .. } if endpoint.secret.is_none() => {
            "the store may want a secret: give one with --secret-file FILE"
        }
        StorageError::Denied { .. } if endpoint.kind == EndpointKind::S3 => {
            "check the access key and its secret, what the store lets it do, and the region"
        }
        StorageError::Denied { .. } => "check the secret, and what the store lets it do",
        StorageError::Unavailable { .. } if remote => {
            "check the URL, and for `https://` with an authority of its own give --ca FILE; --no-probe stores an endpoint that is down"
        }
        StorageError::Unavailable { .. } => "dapple needs a directory that it can write",
        StorageError::Locked { .. } => "set the secret again with --secret-file FILE",
        StorageError::Faulty { .. } => {
            "check that the URL is that of a store of this kind, and not of a page before it"
        }
        StorageError::Full { .. } => "make room: dapple writes a few bytes to try the store",
        StorageError::Outside { .. } => match endpoint.kind {
            EndpointKind::S3 => "give `https://HOST/BUCKET`, or with a prefix of fewer bytes below it",
            EndpointKind::Webdav => "give the URL of a collection that is there or can be made",
            _ => "give the absolute path of a directory",
        },
        StorageError::Refused { .. } => "dapple writes a few bytes to try the store: let it take them",
        // It says itself what to do.
        StorageError::Misconfigured { .. } => return None,
        StorageError::NotFound { .. } | StorageError::Exists { .. } | StorageError::WrongLength { .. } => return None,
    };
    Some(step.to_owned())
}
