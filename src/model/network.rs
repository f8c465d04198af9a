//! Networks: ranges of addresses, written `10.0.0.0/8`, `fd00::/8`, or as a single address.
//!
//! An IPv4 address that is wrapped in an IPv6 one is the IPv4 address everywhere here, as sockets that
//! take both kinds show it wrapped.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Where somebody asks from, as far as an address tells: whoever has one IPv6 address has its whole /64,
/// and an address from each connection if they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// The text is not a network.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is not a network such as 10.0.0.0/8, fd00::/8 or 192.0.2.7")]
pub struct InvalidNetwork {
    text: String,
}

impl Network {
    /// Tells whether an address lies in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(of), IpAddr::V4(is)) => masked(of.to_bits().into(), is.to_bits().into(), 32, self.prefix),
            (IpAddr::V6(of), IpAddr::V6(is)) => masked(of.to_bits(), is.to_bits(), 128, self.prefix),
            _ => false,
        }
    }
}

/// Tells whether two addresses of so many bits begin with the same ones.
fn masked(of: u128, is: u128, bits: u8, prefix: u8) -> bool {
    (of ^ is).checked_shr(u32::from(bits - prefix)).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = || InvalidNetwork { text: text.to_owned() };
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let written: IpAddr = address.parse().map_err(|_| invalid())?;
        let address = written.to_canonical();
        // A prefix counts the bits of the address as it is written.
        let wrapped = if written.is_ipv6() && address.is_ipv4() { 96 } else { 0 };
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(digits) => {
                let written: u8 = digits.parse().map_err(|_| invalid())?;
                written.checked_sub(wrapped).filter(|prefix| *prefix <= bits).ok_or_else(invalid)?
            }
        };
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_of_ipv6_is_one_origin() {
        let origin = |text: &str| Origin::from(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:2"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    }

    #[test]
    fn a_network_holds_the_addresses_that_begin_as_it_does() {
        let table = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("fd00::/8", "fd12::1", true),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:db8::1", "2001:db8::2", false),
        ];
        for (network, address, held) in table {
            let network: Network = network.parse().expect("a network");
            assert_eq!(network.contains(address.parse().expect("an address")), held, "{network} {address}");
        }
        for text in ["", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "x", "10.0.0.0/", "::ffff:10.0.0.0/8"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
