//! (to be written)

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What `dapple demo` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoArgs {
    /// Where to keep the lake; a scratch directory if absent.
    pub dir: Option<PathBuf>,
    /// A tree to put into the lake; made-up data if absent.
    pub data: Option<PathBuf>,
    /// Stop after the tour instead of serving on.
    pub once: bool,
    /// Where to listen; a free port if absent.
    pub listen: Option<SocketAddr>,
}

/// Sets up a small lake and shows what it does.
pub async fn run(_args: DemoArgs) -> Result<(), Box<dyn Error + Send + Sync>> {
    Err("there is no demo yet".into())
}
