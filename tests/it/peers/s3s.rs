//! An S3 store in this process: s3s over a scratch directory.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The access key and secret key it knows.
pub(crate) const PAIR: &str = "inprocess:in-process-only";

/// A running store; it ends with whoever started it.
pub(crate) struct S3s {
    _scratch: TempDir,
    serving: JoinHandle<()>,
    /// `http://host:port`.
    pub(crate) url: String,
}

impl S3s {
    pub(crate) async fn start() -> Self {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let store = s3s_fs::FileSystem::new(scratch.path()).expect("it is there");
        let mut builder = S3ServiceBuilder::new(store);
        let (key, secret) = PAIR.split_once(':').expect("a pair");
        builder.set_auth(SimpleAuth::from_single(key, secret));
        let service = Arc::new(builder.build());
        let answer = move |request: Request| {
            let service = service.clone();
            async move {
                let answer: Response = match service.call(request.map(s3s::Body::http_body_unsync)).await {
                    Ok(answer) => answer.map(Body::new),
                    Err(error) => panic!("s3s could not answer: {error:?}"),
                };
                answer
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("some port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let router = Router::new().fallback(answer);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it never ends") });
        Self { _scratch: scratch, serving, url }
    }
}

impl Drop for S3s {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
