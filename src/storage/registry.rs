//! Which backend serves which endpoint. Opens them when first asked for and again when an endpoint
//! changes. Opening looks at nothing: whether a storage answers, its first operation tells.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::model::endpoint::{Endpoint, EndpointKind, SealedSecret, Settings};
use crate::model::id::EndpointId;
use crate::model::probe::{Feature, Finding};
use crate::storage::backend::{Backend, StorageError};
use crate::storage::health::Health;
use crate::storage::lanes::Lanes;
use crate::storage::memory::Memory;
use crate::storage::posix::Posix;
use crate::storage::s3::S3;
use crate::storage::secret::{Keyring, Secret};
use crate::storage::webdav::Webdav;

/// The backends of one process.
#[derive(Default)]
pub struct Registry {
    keyring: Option<Keyring>,
    health: Health,
    lanes: Lanes,
    lease: Option<Duration>,
    rooms: Mutex<Rooms>,
}

/// Makes the backend of an endpoint from its secret, without looking at the storage.
pub type Opener = Arc<dyn Fn(&Endpoint, Option<Secret>) -> Result<Arc<dyn Backend>, StorageError> + Send + Sync>;

#[derive(Default)]
struct Rooms {
    open: BTreeMap<EndpointId, Open>,
    /// Kinds that are opened in another way than the usual one.
    openers: HashMap<EndpointKind, Opener>,
    /// Memory stores by location. They stay: nothing else has their bytes.
    memories: BTreeMap<String, Memory>,
}

struct Open {
    /// What it was opened for; `None` if it was put here and serves whatever the endpoint says.
    made_for: Option<Means>,
    backend: Arc<dyn Backend>,
}

/// All of an endpoint that matters to its backend: with another of these it is another backend.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Means {
    kind: EndpointKind,
    location: String,
    settings: Settings,
    secret: Option<SealedSecret>,
    /// Not when they were found, nor in what words: a probe that finds the same changes nothing.
    findings: Option<Vec<(Feature, bool)>>,
}

impl Means {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            kind: endpoint.kind,
            location: endpoint.location.clone(),
            settings: endpoint.settings.clone(),
            secret: endpoint.secret.clone(),
            findings: endpoint.probe.as_ref().map(|probe| {
                let held = |finding: &Finding| (finding.feature, finding.holds);
                probe.findings.iter().map(held).collect()
            }),
        }
    }
}

impl Open {
    fn serves(&self, endpoint: &Endpoint) -> bool {
        self.made_for.as_ref().is_none_or(|means| *means == Means::of(endpoint))
    }
}

impl Registry {
    /// A registry that has opened nothing and can open no endpoint that has a secret.
    pub fn new() -> Self {
        Self::default()
    }

    /// A registry that opens secrets with a keyring.
    pub fn with_keyring(keyring: Keyring) -> Self {
        Self { keyring: Some(keyring), ..Self::default() }
    }

    /// The same with room for so many large objects on their way through this process at once.
    #[must_use]
    pub fn with_lanes(mut self, lanes: usize) -> Self {
        self.lanes = Lanes::new(lanes);
        self
    }

    /// The same with another shortest lease of what this process moves.
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease: Some(lease), ..self }
    }

    /// The shortest lease of what this process moves, if it was said.
    pub fn lease(&self) -> Option<Duration> {
        self.lease
    }

    /// The keyring, for sealing what it is to open.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
    }

    /// How the endpoints are doing.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// What a large object has to hold while it passes through this process.
    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// The backend of an endpoint.
    pub fn get(&self, endpoint: &Endpoint) -> Result<Arc<dyn Backend>, StorageError> {
        let mut rooms = self.lock();
        if let Some(open) = rooms.open.get(&endpoint.id).filter(|open| open.serves(endpoint)) {
            return Ok(open.backend.clone());
        }
        let backend = self.make(&mut rooms, endpoint)?;
        let open = Open { made_for: Some(Means::of(endpoint)), backend: backend.clone() };
        rooms.open.insert(endpoint.id, open);
        Ok(backend)
    }

    /// A backend of an endpoint that may never come to be, or not as it is here: nobody else gets it.
    pub fn open(&self, endpoint: &Endpoint) -> Result<Arc<dyn Backend>, StorageError> {
        let mut rooms = self.lock();
        if let Some(open) = rooms.open.get(&endpoint.id).filter(|open| open.made_for.is_none()) {
            return Ok(open.backend.clone());
        }
        self.make(&mut rooms, endpoint)
    }

    fn make(&self, rooms: &mut Rooms, endpoint: &Endpoint) -> Result<Arc<dyn Backend>, StorageError> {
        if let Some(opener) = rooms.openers.get(&endpoint.kind) {
            return opener(endpoint, self.secret(endpoint)?);
        }
        let location = endpoint.location.clone();
        Ok(match endpoint.kind {
            EndpointKind::Posix if !Path::new(&location).is_absolute() => {
                let why = "a posix endpoint's location is an absolute path".to_owned();
                return Err(StorageError::Misconfigured { why });
            }
            EndpointKind::Posix => Arc::new(Posix::new(location.into())),
            EndpointKind::Memory => Arc::new(rooms.memories.entry(location).or_default().clone()),
            EndpointKind::S3 => Arc::new(S3::open(endpoint, self.secret(endpoint)?)?),
            EndpointKind::Webdav => Arc::new(Webdav::open(endpoint, self.secret(endpoint)?)?),
        })
    }

    /// Opens the secret of an endpoint, if it has one. Fails where a backend would not be opened
    /// for it.
    pub fn unlock(&self, endpoint: &Endpoint) -> Result<(), StorageError> {
        self.secret(endpoint).map(drop)
    }

    fn secret(&self, endpoint: &Endpoint) -> Result<Option<Secret>, StorageError> {
        let Some(sealed) = &endpoint.secret else { return Ok(None) };
        let no_key = || StorageError::Locked { why: "this process has no instance key".to_owned() };
        self.keyring.as_ref().ok_or_else(no_key)?.open(&endpoint.name, sealed).map(Some)
    }

    /// Serves an endpoint by a given backend from now on, wherever it says it is.
    pub fn insert(&self, endpoint: EndpointId, backend: Arc<dyn Backend>) {
        let open = Open { made_for: None, backend };
        self.lock().open.insert(endpoint, open);
    }

    /// Opens endpoints of a kind in another way from now on; those that are open stay as they are.
    pub fn insert_opener(&self, kind: EndpointKind, opener: Opener) {
        self.lock().openers.insert(kind, opener);
    }

    /// Serves memory endpoints at `location` by a given store from now on.
    pub fn insert_memory(&self, location: &str, memory: Memory) {
        let mut rooms = self.lock();
        let stale = |means: &Means| means.kind == EndpointKind::Memory && means.location == location;
        rooms.open.retain(|_, open| !open.made_for.as_ref().is_some_and(stale));
        rooms.memories.insert(location.to_owned(), memory);
    }

    /// The store of memory endpoints at `location`, made when first asked for.
    pub fn memory(&self, location: &str) -> Memory {
        self.lock().memories.entry(location.to_owned()).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().expect("no holder of the lock panics")
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::clock::SystemClock;
    use crate::fault::Fault as _;
    use crate::model::endpoint::EndpointName;
    use crate::model::probe::Probe;
    use crate::model::time::Timestamp;
    use crate::storage::layout::StoragePath;

    fn endpoint(id: u32, kind: EndpointKind, location: &str) -> Endpoint {
        Endpoint {
            id: EndpointId(id),
            name: EndpointName::parse("x").expect("valid"),
            kind,
            location: location.to_owned(),
            settings: Settings::default(),
            secret: None,
            probe: None,
            attributes: BTreeMap::new(),
            created_at: Timestamp::from_millis(0),
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing in it waits")
    }

    fn bytes(backend: &dyn Backend) -> Option<u64> {
        let path = StoragePath::parse("a").expect("valid");
        block_on(backend.stat(&path)).ok().map(|info| info.bytes)
    }

    #[test]
    fn a_backend_is_opened_once_and_anew_when_the_endpoint_changes() {
        let registry = Registry::new();
        let first = registry.get(&endpoint(1, EndpointKind::Posix, "/x")).expect("absolute");
        let again = registry.get(&endpoint(1, EndpointKind::Posix, "/x")).expect("absolute");
        let moved = registry.get(&endpoint(1, EndpointKind::Posix, "/y")).expect("absolute");
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &moved));
        let error = registry.get(&endpoint(2, EndpointKind::Posix, "x")).err().expect("relative");
        assert_eq!(error.code(), "storage-misconfigured");
    }

    #[test]
    fn memory_stores_live_as_long_as_the_registry_and_can_be_given() {
        let registry = Registry::new();
        let here = endpoint(1, EndpointKind::Memory, "here");
        registry.memory("here").insert("a", "12");
        assert_eq!(bytes(&*registry.get(&here).expect("memory")), Some(2));
        registry.get(&endpoint(1, EndpointKind::Memory, "there")).expect("memory");
        assert_eq!(bytes(&*registry.get(&here).expect("memory")), Some(2));

        let given = Memory::new();
        given.insert("a", "123");
        registry.insert_memory("here", given.clone());
        assert_eq!(bytes(&*registry.get(&here).expect("memory")), Some(3));
        registry.insert(EndpointId(9), Arc::new(given));
        let elsewhere = endpoint(9, EndpointKind::Posix, "/nowhere");
        assert_eq!(bytes(&*registry.get(&elsewhere).expect("given")), Some(3));
    }

    #[test]
    fn a_backend_is_opened_anew_for_a_new_secret_and_for_other_findings_only() {
        let keyring = Keyring::new([7; 32]);
        let registry = Registry::with_keyring(keyring.clone());
        registry.insert_opener(EndpointKind::S3, Arc::new(|_, _| Ok(Arc::new(Memory::new()))));
        let clock = SystemClock::shared();
        let mut x = endpoint(1, EndpointKind::S3, "https://h/abc");
        let seal = |word: &str| {
            let secret = Secret::parse(word).expect("a pair");
            keyring.seal(&EndpointName::parse("x").expect("valid"), &secret, clock.as_ref())
        };
        let finding = |at, holds| Finding { feature: Feature::Room, holds, seen: format!("{at} bytes are free") };
        let probe = |at, holds| Some(Probe { at: Timestamp::from_millis(at), findings: vec![finding(at, holds)] });
        x.secret = Some(seal("a:b"));
        x.probe = probe(1, true);
        let first = registry.get(&x).expect("opened");
        x.probe = probe(2, true);
        assert!(Arc::ptr_eq(&first, &registry.get(&x).expect("the same")), "the same was found again");
        x.probe = probe(2, false);
        let second = registry.get(&x).expect("opened");
        assert!(!Arc::ptr_eq(&first, &second), "something else was found");
        let mut candidate = x.clone();
        candidate.secret = Some(seal("a:c"));
        registry.open(&candidate).expect("opened");
        assert!(Arc::ptr_eq(&second, &registry.get(&x).expect("the same")), "a candidate is nobody else's");
        assert!(!Arc::ptr_eq(&second, &registry.get(&candidate).expect("opened")), "the secret is another");

        let strange = Registry::with_keyring(Keyring::new([8; 32]));
        for registry in [strange, Registry::new()] {
            registry.insert_opener(EndpointKind::S3, Arc::new(|_, _| Ok(Arc::new(Memory::new()))));
            let codes = [registry.get(&x).err(), registry.open(&x).err(), registry.unlock(&x).err()];
            assert_eq!(codes.map(|error| error.expect("locked").code()), ["storage-locked"; 3]);
        }
    }
}
