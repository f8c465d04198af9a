//! Where a request comes from. This is the one place that says so; whoever wants to know reads the
//! request's [`PeerAddress`].

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
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

/// The address that a request comes from, for handlers; `None` where nobody told it.
pub struct Peer(pub Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<PeerAddress>().map(|peer| peer.0)))
    }
}
