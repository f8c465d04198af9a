//! (to be written)

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What `dapple serve` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeArgs {
    /// Where the catalog is kept.
    pub dir: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
}

/// Runs a server until it is told to stop.
pub async fn run(_args: ServeArgs) -> Result<(), Box<dyn Error + Send + Sync>> {
    Err("there is no server yet".into())
}
