//! `/workers`: what the background does, and pausing it.

use axum::Json;
use axum::extract::{Path, State};

use crate::http::problem::Problem;
use crate::http::request::Asking;
use crate::policy::decision::Action;
use crate::service::error::ServiceError;
use crate::service::view::{Page, WorkerView};
use crate::workers::board::{Activity, Board, Status};

pub(super) async fn list(Asking(ctx): Asking, State(board): State<Board>) -> Result<Json<Page<WorkerView>>, Problem> {
    ctx.permit(Action::Discover, "workers")?;
    let items = board.list().into_iter().map(|(name, status)| to_view(name, status)).collect();
    Ok(Json(Page { items, next: None }))
}

pub(super) async fn pause(
    Asking(ctx): Asking,
    State(board): State<Board>,
    Path(name): Path<String>,
) -> Result<Json<WorkerView>, Problem> {
    ctx.permit(Action::Administer, format!("worker {name}"))?;
    set(&board, &name, true)
}

pub(super) async fn resume(
    Asking(ctx): Asking,
    State(board): State<Board>,
    Path(name): Path<String>,
) -> Result<Json<WorkerView>, Problem> {
    ctx.permit(Action::Administer, format!("worker {name}"))?;
    set(&board, &name, false)
}

fn set(board: &Board, name: &str, pause: bool) -> Result<Json<WorkerView>, Problem> {
    let status = board.pause(name, pause).ok_or_else(|| ServiceError::not_found("worker", name))?;
    Ok(Json(to_view(name, status)))
}

fn to_view(name: &str, status: Status) -> WorkerView {
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
        last_fault: status.last_fault,
    }
}
