//! `/workers`: what the background does, and pausing it.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;

use crate::http::answer::done_untagged;
use crate::http::problem::Problem;
use crate::http::request::Asking;
use crate::http::terms::Changing;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::terms::Made;
use crate::service::view::{Page, WorkerView};
use crate::workers::board::{Activity, Board, Status};

/// Lists background workers.
#[utoipa::path(get, path = "/workers", responses((status = 200, body = Page<WorkerView>)), tag = "workers", operation_id = "list_workers")]
pub(super) async fn list(Asking(ctx): Asking, State(board): State<Board>) -> Result<Json<Page<WorkerView>>, Problem> {
    ctx.permit(Action::Discover, "workers")?;
    let items = board.list().into_iter().map(|(name, status)| to_view(&ctx, name, &status)).collect();
    Ok(Json(Page { items, next: None }))
}

/// Pauses a worker.
#[utoipa::path(post, path = "/workers/{name}/pause", params(("name" = String, Path, description = "Its name")), responses((status = 200, body = WorkerView)), tag = "workers", operation_id = "pause_worker")]
pub(super) async fn pause(
    Changing(ctx): Changing,
    State(board): State<Board>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    ctx.permit(Action::Administer, format!("worker {name}"))?;
    set(&ctx, &board, &name, true)
}

/// Lets a paused worker go on.
#[utoipa::path(post, path = "/workers/{name}/resume", params(("name" = String, Path, description = "Its name")), responses((status = 200, body = WorkerView)), tag = "workers", operation_id = "resume_worker")]
pub(super) async fn resume(
    Changing(ctx): Changing,
    State(board): State<Board>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    ctx.permit(Action::Administer, format!("worker {name}"))?;
    set(&ctx, &board, &name, false)
}

fn set(ctx: &Context, board: &Board, name: &str, pause: bool) -> Result<Response, Problem> {
    let status = if ctx.is_dry_run() {
        let known = board.list().into_iter().find(|(known, _)| *known == name);
        known.map(|(_, status)| Status { paused: pause, ..status })
    } else {
        board.pause(name, pause)
    };
    let status = status.ok_or_else(|| ServiceError::not_found("worker", name))?;
    Ok(done_untagged(ctx, Made::Changed, &to_view(ctx, name, &status)))
}

fn to_view(ctx: &Context, name: &str, status: &Status) -> WorkerView {
    let state = match (status.paused, status.activity) {
        (true, Activity::Idle | Activity::Standby) => "paused",
        (_, Activity::Idle) => "idle",
        (_, Activity::Busy) => "busy",
        (_, Activity::Standby) => "standby",
    };
    WorkerView {
        name: name.to_owned(),
        state: state.to_owned(),
        runs: status.runs,
        last_run_at: status.last_run_at,
        last_fault: status.fault_for(ctx),
    }
}
