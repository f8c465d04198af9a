//! The demo's collections: made, found by place and time, and read without a key as far as they are
//! public.

use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt as _;

use crate::cli::demo::check::expect;
use crate::cli::demo::sample::{self, FIELDS, FIELDS_COUNT, KEPT, STATIONS, STATIONS_COUNT};
use crate::cli::demo::{Tour, say};
use crate::cli::failure::Failure;
use crate::client::{Client, FoundItem, Search};
use crate::model::did::Did;
use crate::model::stac_id;
use crate::service::view::Members;

/// Where and when the demo looks: summer in Iberia.
const PLACE: &str = "-9,38,-5,42";
const TIME: &str = "2024-06/2024-08";
/// Months that it finds there.
const SUMMER: usize = 3;
/// How often it looks whether the index has followed, and how long it waits in between.
const LOOKS_MAX: u32 = 200;
const GLANCE: Duration = Duration::from_millis(50);

/// What a search by place and time found, and how its first file is read.
pub(super) struct Seen {
    found: usize,
    url: String,
    bytes: u64,
}

impl Tour<'_> {
    /// Makes the two collections of the sample.
    pub(super) async fn collect(&mut self) -> Result<(), Failure> {
        let Some(sample) = self.sample.take() else { return Ok(()) };
        let shown = |path: &Path| path.display().to_string();
        let (stations, file_meta) = (shown(&sample.stations), shown(&sample.file_meta));
        let (dids, members, meta) = (shown(&sample.dids), shown(&sample.members), shown(&sample.meta));
        say("a collection: a dataset for each month of each region, with what, where and when it is");
        self.act(&["did", "create", "--from", &dids]).await?;
        self.attach_files().await?;
        self.act(&["did", "attach", FIELDS, "--from", &members]).await?;
        self.act(&["did", "meta", "--lines", &meta]).await?;
        say("everybody may find and read it; a second one, of stations, is kept back");
        self.act(&["did", "label", FIELDS, "classification=public"]).await?;
        self.act(&["did", "label", KEPT, "classification=restricted"]).await?;
        self.act(&["put", &stations, "--to", STATIONS, "--endpoint", "lisbon", "--file-meta", &file_meta]).await?;
        self.act(&["did", "attach", KEPT, STATIONS]).await?;
        self.sample = Some(sample);
        Ok(())
    }

    /// Attaches a file to each dataset; the first of these commands is shown.
    async fn attach_files(&mut self) -> Result<(), Failure> {
        for (at, (dataset, file)) in sample::members().into_iter().enumerate() {
            if at == 0 {
                self.act(&["did", "attach", &dataset, &file]).await?;
                say(&format!("and so for the other {}\n", FIELDS_COUNT - 1));
                continue;
            }
            let dataset: Did = dataset.parse().expect("a DID");
            let members = Members { dids: vec![file.parse().expect("a DID")] };
            self.session.client.attach(&dataset, &members).await?;
        }
        Ok(())
    }

    /// Finds the collection by place and time, and reads a file of it without a key.
    pub(super) async fn look(&mut self, stranger: &Client) -> Result<Option<Seen>, Failure> {
        if self.sample.is_none() {
            return Ok(None);
        }
        self.followed().await?;
        say("summer in Iberia: a search by place and time");
        self.act(&["search", "--bbox", PLACE, "--datetime", TIME, "--collection", FIELDS, "--sort", "datetime"])
            .await?;
        let search = Search {
            bbox: Some([-9.0, 38.0, -5.0, 42.0]),
            datetime: Some(TIME.parse().expect("a period")),
            sort: vec!["datetime".to_owned()],
            ..Search::default()
        };
        let found = find(stranger, &search).await?;
        let first = found.first().and_then(href).map(str::to_owned);
        let url =
            first.ok_or_else(|| Failure::Unmet("a stranger finds no file of the public collection".to_owned()))?;
        say("it is public, so anybody can read it, without a key");
        let bytes = read(stranger, &url).await?;
        println!("$ curl -s '{url}' | wc -c\n{bytes}\n");
        Ok(Some(Seen { found: found.len(), url, bytes }))
    }

    /// Waits until the search index has all of both collections.
    async fn followed(&self) -> Result<(), Failure> {
        let clock = self.session.screen.clock();
        for _ in 0..LOOKS_MAX {
            let fields = count(&self.session.client, FIELDS).await?;
            if (fields, count(&self.session.client, KEPT).await?) == (FIELDS_COUNT, STATIONS_COUNT) {
                return Ok(());
            }
            clock.sleep(GLANCE).await;
        }
        Err(Failure::Unmet("the search index does not follow".to_owned()))
    }

    /// A stranger found and read what is public, byte for byte, and finds and reads nothing else.
    pub(super) async fn check_seen(&self, stranger: &Client, server: &str, seen: &Seen) -> Result<(), Failure> {
        expect(seen.found == SUMMER, || format!("a search for {SUMMER} months finds {}", seen.found))?;
        let path = seen.url.rsplit_once(&format!("{}/", self.dataset.name)).map(|(_, path)| path);
        let written = std::fs::metadata(self.tree.join(path.unwrap_or_default()));
        let is_whole = written.is_ok_and(|file| file.is_file() && file.len() == seen.bytes);
        expect(is_whole, || format!("{} does not give the file", seen.url))?;
        let public = count(stranger, FIELDS).await?;
        expect(public == FIELDS_COUNT, || format!("a stranger finds {public} of {FIELDS_COUNT} public datasets"))?;
        let kept = find(&self.session.client, &of_collection(KEPT)).await?;
        let url = kept.first().and_then(href).unwrap_or_default();
        expect(url.starts_with(server), || "the stations have no URL".to_owned())?;
        let is_kept = count(stranger, KEPT).await? == 0 && read(stranger, url).await.is_err();
        expect(is_kept, || "a stranger sees what is kept back".to_owned())
    }
}

fn of_collection(container: &str) -> Search {
    let did: Did = container.parse().expect("a DID");
    Search { collections: vec![stac_id::of_did(&did)], ..Search::default() }
}

async fn count(client: &Client, container: &str) -> Result<usize, Failure> {
    Ok(find(client, &of_collection(container)).await?.len())
}

async fn find(client: &Client, search: &Search) -> Result<Vec<FoundItem>, Failure> {
    let body = search.body().expect("no condition is asked twice");
    Ok(client.search(body, search.limit).try_collect().await?)
}

/// The URL of an item's first file.
fn href(item: &FoundItem) -> Option<&str> {
    item.0.get("assets")?.as_object()?.values().next()?["href"].as_str()
}

/// Reads a URL, and tells how many bytes came.
async fn read(client: &Client, url: &str) -> Result<u64, Failure> {
    let mut answer = client.download(url, 0, None).await?;
    let mut bytes = 0;
    while let Some(chunk) = answer.chunk().await? {
        bytes += chunk.len() as u64;
    }
    Ok(bytes)
}
