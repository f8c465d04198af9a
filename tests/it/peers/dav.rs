//! dav-server over a local directory, in this process.

use dav_server::DavHandler;
use dav_server::fakels::FakeLs;
use dav_server::localfs::LocalFs;
use tempfile::TempDir;

/// A server of its own for each test: it lives in the test's runtime.
pub(crate) struct Dav {
    pub(crate) url: String,
    _scratch: TempDir,
}

impl Dav {
    pub(crate) async fn start() -> Self {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let handler = DavHandler::builder()
            .filesystem(LocalFs::new(scratch.path(), false, false, false))
            .locksystem(FakeLs::new())
            .build_handler();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("the loopback is up");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let service = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let handler = handler.clone();
            async move { handler.handle(request).await.map(axum::body::Body::new) }
        });
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { url, _scratch: scratch }
    }
}
