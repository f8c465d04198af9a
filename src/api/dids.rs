//! `/dids` and `/contents`.

use axum::Json;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::http::answer::{WantedList, done, shown};
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::{Asking, PageQuery, Wanted};
use crate::http::terms::{Changing, ChangingSeen};
use crate::model::did::{Did, DidName};
use crate::model::scope::Scope;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::paging::Paging;
use crate::service::terms::Made;
use crate::service::view::{ContentView, DatasetCoverage, DidChange, DidView, HistoryView, Members, NewDid, Page};
use crate::service::{closing, coverage, dids, history};

/// A DID as the last two parts of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes what `read_did` reads")]
pub(super) struct DidPath {
    /// Its scope.
    scope: Scope,
    /// Its name, percent-encoded; slashes may stand as they are.
    name: DidName,
}

/// A DID as the last two parts of a path.
pub(super) fn read_did((scope, name): (String, String)) -> Result<Did, ServiceError> {
    Ok(Did { scope: read_scope(&scope)?, name: DidName::parse(&name)? })
}

/// A scope as a part of a path.
pub(super) fn read_scope(scope: &str) -> Result<Scope, ServiceError> {
    Scope::parse(scope).map_err(|error| ServiceError::invalid("invalid-scope", error))
}

/// Answers with a list of what there is of a DID, read page by page.
pub(super) async fn list_of<T, F, Fut>(
    ctx: Context,
    path: (String, String),
    want: WantedList,
    read: F,
) -> Result<Response, Problem>
where
    T: Serialize + Send + 'static,
    F: Fn(Context, Did, Paging) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Page<T>, ServiceError>> + Send + 'static,
{
    let did = read_did(path)?;
    want.answer(move |page| read(ctx.clone(), did.clone(), page)).await
}

/// Which DIDs of a scope.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Prefix {
    /// Only names that begin so.
    prefix: Option<String>,
}

/// Makes a dataset or container.
#[utoipa::path(post, path = "/dids", request_body = NewDid, responses((status = 201, body = DidView)), tag = "dids", operation_id = "create_did")]
pub(super) async fn create(Changing(ctx): Changing, JsonBody(new): JsonBody<NewDid>) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::New, &dids::create(&ctx, new).await?))
}

/// Lists the DIDs of a scope by name.
#[utoipa::path(get, path = "/dids/{scope}", params(("scope" = Scope, Path, description = "Its name"), Prefix, PageQuery), responses((status = 200, body = Page<DidView>)), tag = "dids", operation_id = "list_dids")]
pub(super) async fn list(
    Asking(ctx): Asking,
    Path(scope): Path<String>,
    Wanted(wanted): Wanted<Prefix>,
    want: WantedList,
) -> Result<Response, Problem> {
    let (scope, prefix) = (read_scope(&scope)?, wanted.prefix.unwrap_or_default());
    want.answer(move |page| {
        let (ctx, scope, prefix) = (ctx.clone(), scope.clone(), prefix.clone());
        async move { dids::list(&ctx, &scope, &prefix, page).await }
    })
    .await
}

/// Shows a file, dataset or container.
#[utoipa::path(get, path = "/dids/{scope}/{*name}", params(DidPath), responses((status = 200, body = DidView), (status = 304)), tag = "dids", operation_id = "show_did")]
pub(super) async fn show(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(shown(&headers, &dids::show(&ctx, &read_did(path)?).await?))
}

/// Closes a dataset or container, which then takes no more members, or opens it again.
#[utoipa::path(patch, path = "/dids/{scope}/{*name}", params(DidPath), request_body = DidChange, responses((status = 200, body = DidView), (status = 412)), tag = "dids", operation_id = "change_did")]
pub(super) async fn change(
    ChangingSeen(ctx): ChangingSeen,
    Path(path): Path<(String, String)>,
    JsonBody(change): JsonBody<DidChange>,
) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &closing::change(&ctx, read_did(path)?, change).await?))
}

/// Lists what happened to a file, dataset or container, oldest first; the newest 1,000 entries are kept.
#[utoipa::path(get, path = "/history/{scope}/{*name}", params(DidPath, PageQuery), responses((status = 200, body = Page<HistoryView>)), tag = "dids", operation_id = "show_history")]
pub(super) async fn history(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
    want: WantedList,
) -> Result<Response, Problem> {
    list_of(ctx, path, want, |ctx, did, page| async move { history::list(&ctx, &did, page).await }).await
}

/// Tells how much of a dataset is available at which endpoint.
#[utoipa::path(get, path = "/coverage/{scope}/{*name}", params(DidPath), responses((status = 200, body = DatasetCoverage)), tag = "dids", operation_id = "show_coverage")]
pub(super) async fn coverage(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
) -> Result<Json<DatasetCoverage>, Problem> {
    Ok(Json(coverage::show(&ctx, &read_did(path)?).await?))
}

/// Lists what a dataset or container holds, in the order in which it came.
#[utoipa::path(get, path = "/contents/{scope}/{*name}", params(DidPath, PageQuery), responses((status = 200, body = Page<ContentView>)), tag = "dids", operation_id = "list_contents")]
pub(super) async fn contents(
    Asking(ctx): Asking,
    Path(path): Path<(String, String)>,
    want: WantedList,
) -> Result<Response, Problem> {
    list_of(ctx, path, want, |ctx, did, page| async move { dids::contents(&ctx, &did, page).await }).await
}

/// Attaches members; those that are attached already stay so.
#[utoipa::path(post, path = "/contents/{scope}/{*name}", params(DidPath), request_body = Members, responses((status = 200, body = DidView), (status = 412)), tag = "dids", operation_id = "attach")]
pub(super) async fn attach(
    ChangingSeen(ctx): ChangingSeen,
    Path(path): Path<(String, String)>,
    JsonBody(members): JsonBody<Members>,
) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &dids::attach(&ctx, read_did(path)?, members).await?))
}

/// Detaches members; those that are not attached change nothing.
#[utoipa::path(delete, path = "/contents/{scope}/{*name}", params(DidPath), request_body = Members, responses((status = 200, body = DidView), (status = 412)), tag = "dids", operation_id = "detach")]
pub(super) async fn detach(
    ChangingSeen(ctx): ChangingSeen,
    Path(path): Path<(String, String)>,
    JsonBody(members): JsonBody<Members>,
) -> Result<Response, Problem> {
    Ok(done(&ctx, Made::Changed, &dids::detach(&ctx, read_did(path)?, members).await?))
}
