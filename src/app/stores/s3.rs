//! An S3 store over a directory, each bucket a directory in it. Signatures are checked, and nothing
//! is let in without one. For the demo and tests only.
//!
//! What it lacks of S3: ListMultipartUploads, so that unfinished uploads of an earlier run cannot be
//! found; versions, policies and encryption; and a PUT with a wrong checksum is refused but its bytes
//! stay. Facts about an object lie beside the buckets under the object's key in base64, so keys are
//! limited to about 150 bytes.

use std::path::Path;

use axum::Router;
use axum::error_handling::HandleError;
use axum::http::StatusCode;
use s3s::HttpError;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

use crate::app::error::AppError;
use crate::app::stores::Pair;

/// A store of the buckets below `root`, which is made if it is missing.
pub fn router(root: &Path, pair: &Pair) -> Result<Router, AppError> {
    std::fs::create_dir_all(root).map_err(AppError::file(root))?;
    let unusable = |error| AppError::file(root)(std::io::Error::other(format!("{error:?}")));
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).map_err(unusable)?);
    builder.set_auth(SimpleAuth::from_single(pair.name.clone(), pair.word.clone()));
    Ok(Router::new().fallback_service(HandleError::new(builder.build(), broken)))
}

/// What S3 has an error for is answered with it; this is for a request that is not even HTTP's.
async fn broken(_: HttpError) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
