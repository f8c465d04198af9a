//! `/metrics`: what the process counts, and how much there is of what, for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRef, FromRequestParts as _, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::sync::Mutex;

use crate::http::problem::Problem;
use crate::http::request::Asking;
use crate::service::{Lake, census};
use crate::telemetry::meters::{CONTENT_TYPE, Counted};

/// How long a count of the catalog is good for. Counting walks it, and anybody may scrape as often as
/// they like.
const COUNT_EVERY: Duration = Duration::from_secs(15);

#[derive(Clone)]
struct Scrape {
    lake: Arc<Lake>,
    open: bool,
    counted: Arc<Mutex<Option<Kept>>>,
}

/// A count, and when it was made.
type Kept = (Duration, Vec<Counted>);

impl FromRef<Scrape> for Arc<Lake> {
    fn from_ref(scrape: &Scrape) -> Self {
        Arc::clone(&scrape.lake)
    }
}

/// The route: open to everybody, or to the keys of admins.
pub fn router(lake: Arc<Lake>, open: bool) -> Router {
    Router::new().route("/metrics", get(text)).with_state(Scrape { lake, open, counted: Arc::default() })
}

async fn text(State(scrape): State<Scrape>, request: Request) -> Result<Response, Problem> {
    if !scrape.open {
        let (mut parts, _) = request.into_parts();
        let Asking(ctx) = Asking::from_request_parts(&mut parts, &scrape).await?;
        census::permit(&ctx)?;
    }
    let counted = scrape.counted().await?;
    let text = scrape.lake.catalog.meters().text(&counted);
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

impl Scrape {
    async fn counted(&self) -> Result<Vec<Counted>, Problem> {
        // Held while counting: scrapes that come meanwhile wait for the same count.
        let mut kept = self.counted.lock().await;
        let now = self.lake.catalog.clock().monotonic();
        if let Some((at, counted)) = &*kept
            && now.saturating_sub(*at) < COUNT_EVERY
        {
            return Ok(counted.clone());
        }
        let counted = census::take(&self.lake.catalog).await?;
        *kept = Some((now, counted.clone()));
        Ok(counted)
    }
}
