//! How many connections each address has, so that one cannot take all there are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::model::network::{Network, Origin};

/// Connections by where they come from, over all listeners. Proxies that are trusted are not counted: they
/// speak for many.
#[derive(Debug)]
pub(super) struct Crowd {
    most: usize,
    trusted: Vec<Network>,
    here: Mutex<HashMap<Origin, usize>>,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    crowd: Arc<Crowd>,
    origin: Option<Origin>,
}

impl Crowd {
    pub(super) fn new(most: usize, trusted: Vec<Network>) -> Arc<Self> {
        Arc::new(Self { most, trusted, here: Mutex::default() })
    }

    /// Lets a connection in, unless its address has as many as it may.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Guest> {
        let crowd = Arc::clone(self);
        if self.trusted.iter().any(|network| network.contains(address)) {
            return Some(Guest { crowd, origin: None });
        }
        let origin = Origin::from(address);
        let mut here = self.here.lock().expect("nothing panics while holding it");
        let count = here.entry(origin).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Guest { crowd, origin: Some(origin) })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some(origin) = self.origin else { return };
        let mut here = self.crowd.here.lock().expect("nothing panics while holding it");
        if let Some(count) = here.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                here.remove(&origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_proxies_have_none() {
        let crowd = Crowd::new(2, vec!["10.0.0.0/8".parse().expect("a network")]);
        let admit = |text: &str| crowd.admit(text.parse().expect("an address"));
        let held = (admit("192.0.2.1"), admit("::ffff:192.0.2.1"));
        assert!(held.0.is_some() && held.1.is_some() && admit("192.0.2.1").is_none());
        assert!(admit("192.0.2.2").is_some(), "another address");
        let network: Vec<_> = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(admit).into();
        assert_eq!(network.iter().flatten().count(), 2, "one network of IPv6 is one address");
        let proxies: Vec<_> = (0..5).map(|_| admit("10.0.0.1")).collect();
        assert_eq!(proxies.iter().flatten().count(), 5);
        drop((held, network, proxies));
        assert!(admit("192.0.2.1").is_some() && crowd.here.lock().expect("whole").is_empty(), "nobody is left");
    }
}
