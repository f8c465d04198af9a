//! Where a request comes from: the address of the connection, or what a trusted proxy says it is.
//!
//! `X-Forwarded-For` is believed only as far as trusted proxies vouch for it: from its right end, as each
//! of them appends whom it heard from. What stands before the first stranger anybody may have written.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

use crate::model::network::{Network, Origin};

/// The header in which proxies say whom they speak for.
const FORWARDED: &str = "x-forwarded-for";

/// The address at the other end of the connection; the listener puts it into every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connected(pub SocketAddr);

/// The address that a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

impl From<PeerAddress> for Origin {
    fn from(PeerAddress(address): PeerAddress) -> Self {
        address.into()
    }
}

impl PeerAddress {
    /// The address of a request, if it came through a listener.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().copied()
    }
}

/// The address that a request comes from, for handlers; `None` where nobody told it.
pub struct Peer(pub Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(PeerAddress::of(&parts.extensions).map(|peer| peer.0)))
    }
}

/// Finds out where a request comes from.
pub fn peer(connected: Connected, headers: &HeaderMap, trusted: &[Network]) -> PeerAddress {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut address = connected.0.ip().to_canonical();
    // Several headers are one list, in their order.
    let said: Vec<_> = headers.get_all(FORWARDED).iter().collect();
    // What strangers wrote need not be text: each hop is read by itself.
    let hops = said.iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops {
        if !is_trusted(address) {
            break;
        }
        match std::str::from_utf8(hop).ok().and_then(|hop| hop_address(hop.trim())) {
            Some(before) => address = before,
            // What is no address ends the chain: the proxy that wrote it is the last one known.
            None => break,
        }
    }
    PeerAddress(address)
}

/// An address as proxies write it, with or without a port.
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|with| with.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_trusted_proxies_vouch_for_is_believed() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("a network")).into();
        let table: [(&str, &[&str], &str); 12] = [
            ("203.0.113.5:1", &[], "203.0.113.5"),
            ("203.0.113.5:1", &["10.0.0.9"], "203.0.113.5"),
            ("10.0.0.1:1", &[], "10.0.0.1"),
            ("10.0.0.1:1", &["203.0.113.5"], "203.0.113.5"),
            ("[::ffff:10.0.0.1]:1", &["203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1:1", &["198.51.100.1, 203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1:1", &["198.51.100.1, 203.0.113.5, 10.0.0.2"], "203.0.113.5"),
            ("10.0.0.1:1", &["198.51.100.1", "203.0.113.5, 10.0.0.2"], "203.0.113.5"),
            ("10.0.0.1:1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1:1", &["203.0.113.5, unknown"], "10.0.0.1"),
            ("10.0.0.1:1", &["203.0.113.5:4711"], "203.0.113.5"),
            ("[fd00::1]:1", &["[2001:db8::7]:80, ::ffff:10.1.1.1"], "2001:db8::7"),
        ];
        for (from, said, wanted) in table {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(FORWARDED, value.parse().expect("a header"));
            }
            let found = peer(Connected(from.parse().expect("an address")), &headers, &trusted);
            assert_eq!(found.0.to_string(), wanted, "{from} {said:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED, axum::http::HeaderValue::from_bytes(b"\xff, 203.0.113.5").expect("a header"));
        let from = Connected("10.0.0.1:1".parse().expect("an address"));
        assert_eq!(peer(from, &headers, &trusted).0.to_string(), "203.0.113.5", "what is no text is no hop");
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED, "203.0.113.5".parse().expect("a header"));
        let from = Connected("10.0.0.1:1".parse().expect("an address"));
        assert_eq!(peer(from, &headers, &[]).0.to_string(), "10.0.0.1", "nobody is trusted by default");
    }
}
