//! `/endpoints`.

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::http::answer::{WantedList, done, shown};
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::{Asking, PageQuery};
use crate::http::terms::{Changing, ChangingSeen};
use crate::model::endpoint::{EndpointKind, EndpointName};
use crate::service::endpoints::{self, audit};
use crate::service::error::ServiceError;
use crate::service::terms::Made;
use crate::service::view::{EndpointChange, EndpointView, NewEndpoint, Page};

/// Lists endpoints by name.
#[utoipa::path(get, path = "/endpoints", params(PageQuery), responses((status = 200, body = Page<EndpointView>)), tag = "endpoints", operation_id = "list_endpoints")]
pub(super) async fn list(Asking(ctx): Asking, want: WantedList) -> Result<Response, Problem> {
    want.answer(move |page| {
        let ctx = ctx.clone();
        async move { endpoints::list(&ctx, page).await }
    })
    .await
}

/// Adds an endpoint whose root is there and can be written. A dry run does not try it.
#[utoipa::path(post, path = "/endpoints", request_body = NewEndpoint, responses((status = 201, body = EndpointView)), tag = "endpoints", operation_id = "add_endpoint")]
pub(super) async fn add(Changing(ctx): Changing, JsonBody(new): JsonBody<NewEndpoint>) -> Result<Response, Problem> {
    if new.kind == EndpointKind::Memory {
        let detail = "a memory endpoint forgets its bytes with the process: it is for tests and simulation";
        return Err(ServiceError::invalid("invalid-kind", detail).into());
    }
    Ok(done(&ctx, Made::New, &endpoints::add(&ctx, new).await?))
}

/// Shows an endpoint.
#[utoipa::path(get, path = "/endpoints/{name}", params(("name" = EndpointName, Path, description = "Its name")), responses((status = 200, body = EndpointView), (status = 304)), tag = "endpoints", operation_id = "show_endpoint")]
pub(super) async fn show(
    Asking(ctx): Asking,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(shown(&headers, &endpoints::show(&ctx, &read(&name)?).await?))
}

/// Changes an endpoint. Settings and secrets are tried before they are stored; a dry run does not try.
#[utoipa::path(patch, path = "/endpoints/{name}", params(("name" = EndpointName, Path, description = "Its name")), request_body = EndpointChange, responses((status = 200, body = EndpointView), (status = 412)), tag = "endpoints", operation_id = "change_endpoint")]
pub(super) async fn change(
    ChangingSeen(ctx): ChangingSeen,
    Path(name): Path<String>,
    JsonBody(change): JsonBody<EndpointChange>,
) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &endpoints::change(&ctx, read(&name)?, change).await?))
}

/// Tries what an endpoint can do, and keeps what came of it. A dry run does not try it.
#[utoipa::path(post, path = "/endpoints/{name}/probe", params(("name" = EndpointName, Path, description = "Its name")), responses((status = 200, body = EndpointView), (status = 412)), tag = "endpoints", operation_id = "probe_endpoint")]
pub(super) async fn probe(ChangingSeen(ctx): ChangingSeen, Path(name): Path<String>) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &endpoints::probe(&ctx, &read(&name)?).await?))
}

/// Accepts what is at an endpoint since the lake was restored, so that things may be removed there again.
#[utoipa::path(post, path = "/endpoints/{name}/accept-audit", params(("name" = EndpointName, Path, description = "Its name")), responses((status = 200, body = EndpointView), (status = 412)), tag = "endpoints", operation_id = "accept_audit")]
pub(super) async fn accept_audit(
    ChangingSeen(ctx): ChangingSeen,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &audit::accept(&ctx, &read(&name)?).await?))
}

fn read(name: &str) -> Result<EndpointName, ServiceError> {
    // What cannot be a name names nothing.
    EndpointName::parse(name).map_err(|_| ServiceError::not_found("endpoint", name))
}
