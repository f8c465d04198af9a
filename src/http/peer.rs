//! Where a request comes from. This is the one place that says so; whoever wants to know reads the
//! request's [`PeerAddress`].

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::middleware::Next;
use axum::response::Response;

/// The address that a request comes from, as an IPv4 address if it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// Tells every request where it comes from.
pub async fn with_peer(mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(address)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let peer = PeerAddress(address.ip().to_canonical());
        request.extensions_mut().insert(peer);
    }
    next.run(request).await
}
