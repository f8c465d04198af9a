//! A WebDAV server over a directory, behind one user and password. For the demo and tests only: a PUT
//! is written in place, so one that breaks off leaves a part under the name, and nothing is synced.
//! There are no locks.

use std::path::Path;

use aws_smithy_types::base64;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use dav_server::DavHandler;
use dav_server::localfs::LocalFs;

use crate::app::error::AppError;
use crate::app::stores::Pair;

/// A server of the collections below `root`, which is made if it is missing.
pub fn router(root: &Path, pair: &Pair) -> Result<Router, AppError> {
    std::fs::create_dir_all(root).map_err(AppError::file(root))?;
    let files = LocalFs::new(root, false, false, false);
    let server = DavHandler::builder().filesystem(files).build_handler();
    let expected = format!("Basic {}", base64::encode(pair.text()));
    Ok(Router::new().fallback(move |request: Request| {
        let (server, expected) = (server.clone(), expected.clone());
        async move { answer(&server, &expected, request).await }
    }))
}

async fn answer(server: &DavHandler, expected: &str, request: Request) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION);
    if shown.is_none_or(|shown| shown.as_bytes() != expected.as_bytes()) {
        let realm = HeaderValue::from_static("Basic realm=\"a store of the demo\"");
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, realm)]).into_response();
    }
    server.handle(request).await.into_response()
}
