//! `/endpoints`.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;

use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::{Asking, WantedPage};
use crate::model::endpoint::{EndpointKind, EndpointName};
use crate::service::endpoints;
use crate::service::error::ServiceError;
use crate::service::view::{EndpointChange, EndpointView, NewEndpoint, Page};

pub(super) async fn list(
    Asking(ctx): Asking,
    WantedPage(page): WantedPage,
) -> Result<Json<Page<EndpointView>>, Problem> {
    Ok(Json(endpoints::list(&ctx, page).await?))
}

pub(super) async fn add(
    Asking(ctx): Asking,
    JsonBody(new): JsonBody<NewEndpoint>,
) -> Result<(StatusCode, Json<EndpointView>), Problem> {
    if new.kind == EndpointKind::Memory {
        let detail = "a memory endpoint forgets its bytes with the process: it is for tests and simulation";
        return Err(ServiceError::invalid("invalid-kind", detail).into());
    }
    Ok((StatusCode::CREATED, Json(endpoints::add(&ctx, new).await?)))
}

pub(super) async fn show(Asking(ctx): Asking, Path(name): Path<String>) -> Result<Json<EndpointView>, Problem> {
    Ok(Json(endpoints::show(&ctx, &read(&name)?).await?))
}

pub(super) async fn change(
    Asking(ctx): Asking,
    Path(name): Path<String>,
    JsonBody(change): JsonBody<EndpointChange>,
) -> Result<Json<EndpointView>, Problem> {
    Ok(Json(endpoints::change(&ctx, read(&name)?, change).await?))
}

pub(super) async fn probe(Asking(ctx): Asking, Path(name): Path<String>) -> Result<Json<EndpointView>, Problem> {
    Ok(Json(endpoints::probe(&ctx, &read(&name)?).await?))
}

fn read(name: &str) -> Result<EndpointName, ServiceError> {
    // What cannot be a name names nothing.
    EndpointName::parse(name).map_err(|_| ServiceError::not_found("endpoint", name))
}
