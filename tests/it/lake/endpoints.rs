//! Endpoints that need a secret: what is tried before it is stored, and how a secret is changed while
//! the lake goes on. The store is a stand-in that wants a password with every operation.

use std::path::Path;
use std::sync::{Arc, Mutex};

use dapple::app::build;
use dapple::config::settings::Settings;
use dapple::fault::Fault as _;
use dapple::model::account::Principal;
use dapple::model::endpoint::{Endpoint, EndpointKind};
use dapple::model::id::IntentId;
use dapple::model::probe::{Feature, Finding};
use dapple::policy::judge::Judge;
use dapple::service::error::ServiceError;
use dapple::service::view::{EndpointChange, NewEndpoint, NewSettings, SecretText, SettingsChange};
use dapple::service::{Context, check, endpoints};
use dapple::storage::backend::{
    Backend, BoxFuture, ByteRange, ByteStream, Evidence, Listed, ObjectInfo, Overwrite, Room, Staged, StorageError,
};
use dapple::storage::layout::StoragePath;
use dapple::storage::memory::Memory;
use dapple::storage::secret::Secret;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};

use super::name;

/// What the store wants to hear.
type Wanted = Arc<Mutex<Secret>>;

/// A store that lets in whoever knows its password at this moment.
struct Guarded {
    inside: Memory,
    wanted: Wanted,
    given: Option<Secret>,
}

impl Guarded {
    fn enter(&self) -> Result<(), StorageError> {
        let wanted = self.wanted.lock().expect("no panics");
        match &self.given {
            Some(given) if *given == *wanted => Ok(()),
            _ => Err(StorageError::Denied { path: String::new() }),
        }
    }
}

/// Passes a call on to whoever is let in.
macro_rules! guarded {
    ($self:ident, $call:expr) => {
        async move {
            $self.enter()?;
            $call.await
        }
        .boxed()
    };
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

impl Backend for Guarded {
    fn stat<'a>(&'a self, path: &'a StoragePath) -> Answer<'a, ObjectInfo> {
        guarded!(self, self.inside.stat(path))
    }

    fn read<'a>(&'a self, path: &'a StoragePath, range: Option<ByteRange>) -> Answer<'a, ByteStream> {
        guarded!(self, self.inside.read(path, range))
    }

    fn stage<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        content: ByteStream,
    ) -> Answer<'a, Staged> {
        guarded!(self, self.inside.stage(path, intent, bytes, content))
    }

    fn stage_copy<'a>(
        &'a self,
        path: &'a StoragePath,
        intent: IntentId,
        bytes: u64,
        source: &'a dyn Backend,
        source_path: &'a StoragePath,
    ) -> Answer<'a, Option<Staged>> {
        guarded!(self, self.inside.stage_copy(path, intent, bytes, source, source_path))
    }

    fn read_staged<'a>(&'a self, path: &'a StoragePath, intent: IntentId) -> Answer<'a, Evidence> {
        guarded!(self, self.inside.read_staged(path, intent))
    }

    fn publish<'a>(&'a self, path: &'a StoragePath, intent: IntentId, overwrite: Overwrite) -> Answer<'a, ()> {
        guarded!(self, self.inside.publish(path, intent, overwrite))
    }

    fn discard<'a>(&'a self, path: &'a StoragePath, intent: IntentId) -> Answer<'a, ()> {
        guarded!(self, self.inside.discard(path, intent))
    }

    fn delete<'a>(&'a self, path: &'a StoragePath) -> Answer<'a, ()> {
        guarded!(self, self.inside.delete(path))
    }

    fn list(&self) -> BoxStream<'_, Result<Listed, StorageError>> {
        match self.enter() {
            Ok(()) => self.inside.list(),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    fn room(&self) -> Answer<'_, Option<Room>> {
        guarded!(self, self.inside.room())
    }

    fn create_root(&self) -> Answer<'_, ()> {
        guarded!(self, self.inside.create_root())
    }

    fn probe(&self) -> Answer<'_, Vec<Finding>> {
        async move {
            self.enter()?;
            let finding = |feature, holds| Finding { feature, holds, seen: String::new() };
            Ok(vec![finding(Feature::Room, false), finding(Feature::RangedRead, true)])
        }
        .boxed()
    }
}

fn secret(text: &str) -> Secret {
    Secret::parse(text).expect("a secret")
}

/// A lake whose webdav endpoints want a password.
async fn lake(directory: &Path, wanted: &Wanted) -> Context {
    let (url, settings) = ("http://127.0.0.1:1".to_owned(), Settings::default());
    let opened = build::open(directory, url, &settings, Judge::builtin()).await.expect("a lake");
    let (inside, wanted) = (Memory::new(), Arc::clone(wanted));
    let opener = move |_: &Endpoint, given: Option<Secret>| {
        let guarded = Guarded { inside: inside.clone(), wanted: Arc::clone(&wanted), given };
        Ok(Arc::new(guarded) as Arc<dyn Backend>)
    };
    opened.lake.stores.insert_opener(EndpointKind::Webdav, Arc::new(opener));
    Context::new(opened.lake, Principal::root())
}

fn new(kind: EndpointKind, location: &str, word: Option<&str>) -> NewEndpoint {
    NewEndpoint {
        name: name("store"),
        kind,
        location: location.to_owned(),
        settings: NewSettings::default(),
        secret: word.map(|word| SecretText::new(word.to_owned())),
        attributes: [].into(),
        create: false,
        no_probe: false,
    }
}

fn with_secret(word: Option<&str>) -> EndpointChange {
    EndpointChange { secret: Some(word.map(|word| SecretText::new(word.to_owned()))), ..EndpointChange::default() }
}

/// The code of a refusal, and what it says.
fn refusal<T: std::fmt::Debug>(answer: Result<T, ServiceError>) -> (&'static str, String) {
    let error = answer.expect_err("it is refused");
    (error.code(), format!("{error} | {}", error.hint().unwrap_or_default()))
}

/// Does what transfers do: asks the store by what the catalog says now.
async fn works(ctx: &Context) -> bool {
    let view = ctx.lake.catalog.view().await.expect("a view");
    let endpoint = dapple::catalog::endpoints::by_name(&view, &name("store")).await.expect("read").expect("there");
    let backend = ctx.lake.stores.get(&endpoint).expect("opened");
    backend.room().await.is_ok()
}

#[tokio::test]
async fn a_secret_is_changed_while_the_lake_goes_on() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let wanted: Wanted = Arc::new(Mutex::new(secret("u:first")));
    let ctx = lake(directory.path(), &wanted).await;
    let url = "https://dav.example/data";
    let (code, told) = refusal(endpoints::add(&ctx, new(EndpointKind::Webdav, url, Some("u:wrong"))).await);
    assert!(code == "endpoint-unusable" && told.contains("check the secret"), "{told}");
    let (_, told) = refusal(endpoints::add(&ctx, new(EndpointKind::Webdav, url, None)).await);
    assert!(told.contains("--secret-file"), "{told}");
    let added = endpoints::add(&ctx, new(EndpointKind::Webdav, url, Some("u:first"))).await.expect("let in");
    assert!(added.has_secret && added.notes.is_empty(), "{added:?}");
    let findings = added.view.probe.expect("it was tried").findings;
    let holds: Vec<_> = findings.iter().map(|finding| (finding.feature.as_str(), finding.holds)).collect();
    assert_eq!(holds, [("ranged-read", true), ("room", false)]);
    assert!(findings[0].consequence.is_none() && findings[1].consequence.is_some());
    assert!(works(&ctx).await);

    *wanted.lock().expect("no panics") = secret("u:second");
    assert!(!works(&ctx).await, "the store changed its password");
    let (code, _) = refusal(endpoints::probe(&ctx, &name("store")).await);
    assert_eq!(code, "endpoint-unusable");
    let (code, _) = refusal(endpoints::change(&ctx, name("store"), with_secret(Some("u:third"))).await);
    assert_eq!(code, "endpoint-unusable");
    endpoints::change(&ctx, name("store"), with_secret(Some("u:second"))).await.expect("let in");
    assert!(works(&ctx).await, "without a restart");

    // A refused change left the old secret, and one that is not tried is stored as it is.
    let (code, _) = refusal(endpoints::change(&ctx, name("store"), with_secret(None)).await);
    assert_eq!(code, "endpoint-unusable");
    assert!(works(&ctx).await);
    let untried = EndpointChange { no_probe: true, ..with_secret(None) };
    assert!(!endpoints::change(&ctx, name("store"), untried).await.expect("stored").has_secret);
    assert!(!works(&ctx).await);
    ctx.lake.catalog.close().await.expect("closed");
}

#[tokio::test]
async fn a_lost_instance_key_locks_endpoints_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let wanted: Wanted = Arc::new(Mutex::new(secret("u:first")));
    let ctx = lake(directory.path(), &wanted).await;
    let url = "https://dav.example/data";
    endpoints::add(&ctx, new(EndpointKind::Webdav, url, Some("u:first"))).await.expect("let in");
    assert!(check::check(&ctx).await.expect("checked").findings.is_empty());
    ctx.lake.catalog.close().await.expect("closed");
    drop(ctx);

    let (key, aside) = (directory.path().join("instance.key"), directory.path().join("aside"));
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.metadata().expect("there").permissions()) & 0o777, 0o600);
    std::fs::rename(&key, &aside).expect("moved");
    let ctx = lake(directory.path(), &wanted).await;
    let shown = endpoints::show(&ctx, &name("store")).await.expect("the lake is up");
    assert!(shown.has_secret && shown.notes[0].contains("instance.key"), "{shown:?}");
    let findings = check::check(&ctx).await.expect("checked").findings;
    assert_eq!((findings.len(), findings[0].invariant.as_str()), (1, check::SECRETS_OPEN));
    let (code, told) = refusal(endpoints::probe(&ctx, &name("store")).await);
    assert!(code == "endpoint-unusable" && told.contains("set the secret again"), "{told}");
    ctx.lake.catalog.close().await.expect("closed");
    drop(ctx);

    std::fs::rename(&aside, &key).expect("moved back");
    let ctx = lake(directory.path(), &wanted).await;
    assert!(works(&ctx).await, "nothing was lost");
    assert!(check::check(&ctx).await.expect("checked").findings.is_empty());
    ctx.lake.catalog.close().await.expect("closed");
}

#[tokio::test]
async fn what_an_endpoint_cannot_be_is_refused_with_what_it_could() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let wanted: Wanted = Arc::new(Mutex::new(secret("u:first")));
    let ctx = lake(&directory.path().join("lake"), &wanted).await;
    let (s3, webdav, posix) = (EndpointKind::S3, EndpointKind::Webdav, EndpointKind::Posix);
    let root = directory.path().join("root").display().to_string();
    let ca = || NewSettings { ca: Some("no certificate".to_owned()), ..NewSettings::default() };
    let region = || NewSettings { region: Some("eu".to_owned()), ..NewSettings::default() };
    let table = [
        (s3, "https://h", None, NewSettings::default(), "invalid-location", "names no bucket"),
        (s3, "https://h/ABC", None, NewSettings::default(), "invalid-location", "lower-case"),
        (webdav, "https://h/a?x", None, NewSettings::default(), "invalid-location", "query"),
        (posix, "root", None, NewSettings::default(), "invalid-location", "absolute"),
        (posix, &root, Some("u:hunter2"), NewSettings::default(), "invalid-secret", "takes no secret"),
        (posix, &root, None, region(), "invalid-settings", "only for s3"),
        (webdav, "https://h/a", None, region(), "invalid-settings", "only for s3"),
        (webdav, "https://h/a", None, ca(), "invalid-settings", "no certificate"),
        (webdav, "http://h/a", None, ca(), "invalid-settings", "https://"),
        (
            webdav,
            "https://h/a",
            Some("hunter2\nhunter2"),
            NewSettings::default(),
            "invalid-secret",
            "more than one line",
        ),
        (s3, "https://h/abc", Some("hunter2"), NewSettings::default(), "invalid-secret", "ACCESS_KEY:SECRET_KEY"),
    ];
    for (kind, location, word, settings, code, expected) in table {
        let (found, told) = refusal(endpoints::add(&ctx, NewEndpoint { settings, ..new(kind, location, word) }).await);
        assert!(found == code && told.contains(expected), "{location} {expected}: {found}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    endpoints::add(&ctx, new(webdav, "https://h/a/", Some("u:first"))).await.expect("let in");
    for location in ["https://h/a", "https://H:443/a/b", "http://h/%61", "https://h"] {
        let other = NewEndpoint { name: name("other"), ..new(webdav, location, Some("u:first")) };
        assert_eq!(refusal(endpoints::add(&ctx, other).await).0, "endpoint-overlaps", "{location}");
    }
    let open = NewEndpoint { name: name("open"), ..new(webdav, "http://g/a", Some("u:first")) };
    let open = endpoints::add(&ctx, open).await.expect("allowed, and told");
    assert!(open.notes.iter().any(|note| note.contains("http://")), "{:?}", open.notes);
    let change = EndpointChange {
        settings: SettingsChange { redirect: Some(true), ..SettingsChange::default() },
        ..EndpointChange::default()
    };
    assert_eq!(refusal(endpoints::change(&ctx, name("open"), change).await).0, "invalid-settings");
    ctx.lake.catalog.close().await.expect("closed");
}
