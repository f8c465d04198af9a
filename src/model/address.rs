//! Addresses that requests come from, and ranges of them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// The most bits of a prefix that an IPv4 address has when it is written as IPv6.
const MAPPED_BITS: u8 = 96;

/// A range of addresses, such as `192.0.2.0/24`. IPv4 addresses written as IPv6
/// (`::ffff:192.0.2.7`) are those addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange(IpNet);

/// The text is no range of addresses.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is no range of addresses such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7")]
pub struct InvalidAddressRange {
    text: String,
}

impl AddressRange {
    /// Tells whether an address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Tells whether all of another range lies in this one.
    pub fn includes(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }
}

impl FromStr for AddressRange {
    type Err = InvalidAddressRange;

    fn from_str(text: &str) -> Result<Self, InvalidAddressRange> {
        let one = || text.parse::<IpAddr>().map(IpNet::from);
        let range = text.parse::<IpNet>().or_else(|_| one());
        let range = range.map_err(|_| InvalidAddressRange { text: text.to_owned() })?.trunc();
        let mapped = match (range.addr().to_canonical(), range) {
            (IpAddr::V4(address), IpNet::V6(range)) => {
                range.prefix_len().checked_sub(MAPPED_BITS).and_then(|bits| Ipv4Net::new(address, bits).ok())
            }
            _ => None,
        };
        Ok(Self(mapped.map_or(range, IpNet::V4)))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for AddressRange {
    type Error = InvalidAddressRange;

    fn try_from(text: String) -> Result<Self, InvalidAddressRange> {
        text.parse()
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_range_however_it_is_written() {
        let table = [
            ("192.0.2.0/24", "192.0.2.7", true),
            ("192.0.2.0/24", "::ffff:192.0.2.7", true),
            ("::ffff:192.0.2.0/120", "192.0.2.7", true),
            ("192.0.2.77/24", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.0/24", "192.0.3.7", false),
            ("192.0.2.7", "192.0.2.8", false),
            ("2001:db8::/32", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "192.0.2.7", false),
        ];
        for (range, address, within) in table {
            let read: AddressRange = range.parse().expect("a range");
            assert_eq!(read.contains(address.parse().expect("an address")), within, "{range} {address}");
        }
        for text in ["", "192.0.2.0/33", "192.0.2", "example.org", "10.0.0.0/-1"] {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
    }
}
