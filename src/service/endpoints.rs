//! Endpoints: add, list, change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalog::ledger::tally;
use crate::catalog::wake::Topic;
use crate::catalog::{View, endpoints};
use crate::model::endpoint::{Endpoint, EndpointKind, EndpointName, Settings, parse_attribute};
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::paging::{Paging, page};
use crate::service::view::{EndpointChange, EndpointView, NewEndpoint, Page};

/// Adds an endpoint whose root is there and can be written.
pub async fn add(ctx: &Context, new: NewEndpoint) -> Result<EndpointView, ServiceError> {
    ctx.permit(Action::Administer, format!("endpoint {}", new.name))?;
    for (key, value) in &new.attributes {
        parse_attribute(&format!("{key}={value}"))?;
    }
    let view = ctx.catalog().view().await?;
    let known = endpoints::all(&view).await?;
    refuse_clash(ctx, &new, &known)?;
    if new.kind == EndpointKind::Posix {
        make_root(&new).await?;
    }
    let endpoint = Endpoint {
        id: ctx.catalog().endpoint_id().await?,
        name: new.name,
        kind: new.kind,
        location: new.location,
        settings: Settings::default(),
        secret: None,
        probe: None,
        attributes: new.attributes,
        created_at: ctx.catalog().clock().now(),
    };
    let backend = ctx.lake.stores.get(&endpoint)?;
    backend.probe().await.map_err(|error| ServiceError::Invalid {
        code: "endpoint-unusable",
        detail: format!("`{}` cannot be used as an endpoint: {error}", endpoint.location),
        hint: Some("dapple needs a directory that it can write; `--create` makes a missing one".to_owned()),
    })?;
    let (stored, seen) = (endpoint.clone(), endpoints::revision(&view).await?);
    ctx.catalog()
        .transact(move |txn| {
            let stored = stored.clone();
            async move {
                if endpoints::revision(&txn).await? != seen {
                    return Err(ServiceError::Conflict {
                        code: "endpoints-changed",
                        detail: "endpoints were added or changed at the same time".to_owned(),
                        hint: Some("try again".to_owned()),
                    });
                }
                Ok(endpoints::put(&txn, &stored).await?)
            }
        })
        .await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    to_view(ctx, &ctx.catalog().view().await?, endpoint).await
}

/// Two endpoints on one tree would count one copy twice, and one on the lake's own directory would
/// hand out its keys.
fn refuse_clash(ctx: &Context, new: &NewEndpoint, known: &[Endpoint]) -> Result<(), ServiceError> {
    if known.iter().any(|endpoint| endpoint.name == new.name) {
        return Err(ServiceError::Exists { what: "endpoint", name: new.name.to_string() });
    }
    if new.kind != EndpointKind::Posix {
        return Ok(());
    }
    if !Path::new(&new.location).is_absolute() {
        return Err(ServiceError::invalid("invalid-location", "a posix endpoint needs an absolute path"));
    }
    let others = known.iter().filter(|endpoint| endpoint.kind == new.kind);
    let others = others.map(|other| (format!("the endpoint {}", other.name), PathBuf::from(&other.location)));
    let own = ctx.lake.directory.iter().map(|own| ("the lake's own directory".to_owned(), own.clone()));
    let location = real(Path::new(&new.location));
    for (what, other) in others.chain(own) {
        let place = real(&other);
        if location.starts_with(&place) || place.starts_with(&location) || same_file(&location, &place) {
            return Err(ServiceError::Conflict {
                code: "endpoint-overlaps",
                detail: format!("`{}` and {what} at `{}` overlap", new.location, other.display()),
                hint: Some("give each endpoint a tree of its own, or one copy would count as two".to_owned()),
            });
        }
    }
    Ok(())
}

/// A path with its links followed, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match known {
        Some((above, real)) => real.join(path.strip_prefix(above).unwrap_or(Path::new(""))),
        None => path.to_owned(),
    }
}

/// Tells whether two paths lead to one directory, as bind mounts make them.
fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |path: &Path| path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    id(one).is_some_and(|one| id(other) == Some(one))
}

async fn make_root(new: &NewEndpoint) -> Result<(), ServiceError> {
    if !new.create {
        return Ok(());
    }
    tokio::fs::create_dir_all(&new.location).await.map_err(|error| ServiceError::Invalid {
        code: "endpoint-unusable",
        detail: format!("`{}` could not be made: {error}", new.location),
        hint: None,
    })
}

/// Lists endpoints by name.
pub async fn list(ctx: &Context, paging: Paging) -> Result<Page<EndpointView>, ServiceError> {
    ctx.permit(Action::Discover, "endpoints")?;
    let limit = paging.limit()?;
    let after: String = paging.after()?.unwrap_or_default();
    let view = ctx.catalog().view().await?;
    let all = endpoints::all(&view).await?;
    let rest: Vec<_> = all.into_iter().filter(|endpoint| endpoint.name.as_str() > after.as_str()).collect();
    let full = rest.len() > limit;
    let mut items = Vec::with_capacity(limit.min(rest.len()));
    for endpoint in rest.into_iter().take(limit) {
        items.push(to_view(ctx, &view, endpoint).await?);
    }
    Ok(page(items, full, |item| item.name.to_string()))
}

/// Shows an endpoint.
pub async fn show(ctx: &Context, name: &EndpointName) -> Result<EndpointView, ServiceError> {
    ctx.permit(Action::Discover, format!("endpoint {name}"))?;
    let view = ctx.catalog().view().await?;
    let endpoint = find(&view, name).await?;
    to_view(ctx, &view, endpoint).await
}

/// Changes an endpoint's attributes. Rules that found no place are tried again.
pub async fn change(ctx: &Context, name: EndpointName, change: EndpointChange) -> Result<EndpointView, ServiceError> {
    ctx.permit(Action::Administer, format!("endpoint {name}"))?;
    for (key, value) in &change.attributes {
        parse_attribute(&format!("{key}={}", value.as_deref().unwrap_or("x")))?;
    }
    let change = Arc::new(change);
    let endpoint = ctx
        .catalog()
        .transact(move |txn| {
            let (name, change) = (name.clone(), Arc::clone(&change));
            async move {
                let mut endpoint = find(&txn, &name).await?;
                for (key, value) in &change.attributes {
                    match value {
                        Some(value) => endpoint.attributes.insert(key.clone(), value.clone()),
                        None => endpoint.attributes.remove(key),
                    };
                }
                endpoints::put(&txn, &endpoint).await?;
                Ok::<_, ServiceError>(endpoint)
            }
        })
        .await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    to_view(ctx, &ctx.catalog().view().await?, endpoint).await
}

/// An endpoint by name, or the error that says there is none.
pub(super) async fn find(view: &View, name: &EndpointName) -> Result<Endpoint, ServiceError> {
    endpoints::by_name(view, name).await?.ok_or_else(|| ServiceError::not_found("endpoint", name))
}

async fn to_view(ctx: &Context, view: &View, endpoint: Endpoint) -> Result<EndpointView, ServiceError> {
    let usage = tally::usage(view, endpoint.id).await?;
    // An endpoint that does not answer is listed all the same, without its room.
    let room = match ctx.lake.stores.get(&endpoint) {
        Ok(backend) => backend.room().await.ok().flatten(),
        Err(_) => None,
    };
    Ok(EndpointView {
        name: endpoint.name,
        kind: endpoint.kind,
        location: endpoint.location,
        attributes: endpoint.attributes,
        files: u64::try_from(usage.files).unwrap_or(0),
        bytes: u64::try_from(usage.bytes).unwrap_or(0),
        free_bytes: room.map(|room| room.free_bytes),
        created_at: endpoint.created_at,
    })
}
