//! `/backup`: the whole lake as one stream.

use axum::response::Response;
use futures::stream;

use crate::http::answer::{bytes_as_made, lines_as_made};
use crate::http::body::JsonBody;
use crate::http::problem::Problem;
use crate::http::request::Asking;
use crate::http::terms::Unkept;
use crate::service::backup;
use crate::service::view::{BackupProgress, NewBackup};

/// The media type of a backup.
const BACKUP: &str = "application/vnd.dapple.backup";

/// Gives a backup of the lake as it is now. One that was broken off has no end, and is refused as torn.
#[utoipa::path(get, path = "/backup", responses((status = 200, body = String, content_type = "application/vnd.dapple.backup", description = "The backup: docs/backup.md has the format")), tag = "lake", operation_id = "read_backup")]
pub(super) async fn read(Asking(ctx): Asking) -> Result<Response, Problem> {
    let export = backup::create(&ctx).await?;
    let pieces = stream::try_unfold(export, |mut export| async move {
        Ok::<_, Problem>(export.next().await?.map(|piece| (piece, export)))
    });
    Ok(bytes_as_made(BACKUP, pieces))
}

/// Puts a backup of the lake as it is now to an endpoint, and reads it back.
#[utoipa::path(post, path = "/backup", request_body = NewBackup, responses((status = 200, body = String, content_type = "application/x-ndjson", description = "A `BackupProgress` on each line; the last one has `done` or `failed`")), tag = "lake", operation_id = "send_backup")]
pub(super) async fn send(Unkept(ctx): Unkept, JsonBody(new): JsonBody<NewBackup>) -> Result<Response, Problem> {
    let sending = backup::send(&ctx, new).await?;
    let said = stream::unfold(Some(sending), |sending| async move {
        let mut sending = sending?;
        match sending.next().await {
            Ok(said) => said.map(|said| (said, Some(sending))),
            Err(error) => {
                let failed = Some(Problem::from(error).view());
                Some((BackupProgress { rows: 0, bytes: 0, done: None, failed }, None))
            }
        }
    });
    Ok(lines_as_made(&ctx, said))
}
