//! Calls about the search index.

use reqwest::Method;

use crate::client::Client;
use crate::client::error::ClientError;
use crate::client::request::Again;
use crate::service::view::IndexView;

impl Client {
    /// Shows how far the search index is.
    pub async fn index(&self) -> Result<IndexView, ClientError> {
        self.get("/index").await
    }

    /// Has the search index built anew.
    pub async fn rebuild_index(&self) -> Result<IndexView, ClientError> {
        self.send(Method::POST, "/index/rebuild", &serde_json::json!({}), Again::Always).await
    }
}
