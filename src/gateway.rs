//! stub
use std::sync::Arc;
/// stub
pub fn router(_: Arc<crate::service::Lake>) -> axum::Router {
    axum::Router::new()
}
