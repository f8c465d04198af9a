//! Checks what the demo did, as somebody would who does not believe its own words: bytes at the
//! endpoints and behind the URL are compared with the tree they came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli::demo::Tour;
use crate::cli::demo::sample::STATIONS;
use crate::cli::demo::sites::SITES;
use crate::cli::failure::Failure;
use crate::client::Client;
use crate::model::did::Did;
use crate::model::rule::RuleState;
use crate::service::view::RuleView;

impl Tour<'_> {
    pub(super) async fn check(
        &self,
        stranger: &Client,
        good: &RuleView,
        stuck: &RuleView,
        url: &str,
    ) -> Result<(), Failure> {
        let client = &self.session.client;
        let state = client.rule(good.id).await?.state;
        expect(state == RuleState::Ok, || format!("the rule is {state:?}, not OK"))?;
        let explained = client.explain_rule(stuck.id).await?;
        let helps = explained.problems.iter().any(|problem| !problem.help.is_empty());
        expect(explained.rule.state == RuleState::Stuck && helps, || "the stuck rule is not explained".to_owned())?;
        self.check_copies()?;
        self.check_url(stranger, url).await
    }

    /// Every file of the tree is at every endpoint, byte for byte, and nothing else is there.
    fn check_copies(&self) -> Result<(), Failure> {
        let prefix = place(&self.dataset);
        let wanted: BTreeMap<PathBuf, Vec<u8>> = if self.tree.is_file() {
            let name = self.tree.file_name().map(PathBuf::from).unwrap_or_default();
            let content = std::fs::read(&self.tree).map_err(|error| Failure::io("read", &self.tree, error))?;
            BTreeMap::from([(prefix.join(name), hash(&content))])
        } else {
            files(&self.tree)?.into_iter().map(|(path, content)| (prefix.join(path), content)).collect()
        };
        // Stations were put to the first site, and no rule copies them.
        let stations = self.sample.as_ref().map(|sample| files(&sample.stations)).transpose()?.unwrap_or_default();
        let stations_prefix = place(&STATIONS.parse().expect("a DID"));
        for (at, site) in SITES.into_iter().enumerate() {
            let mut wanted = wanted.clone();
            if at == 0 {
                wanted.extend(stations.iter().map(|(path, hash)| (stations_prefix.join(path), hash.clone())));
            }
            let found = files(&site.files(&self.directory.join("sites")))?;
            expect(found == wanted, || format!("what lies at {} is not what was put", site.name))?;
        }
        Ok(())
    }

    /// The URL gives the file's bytes, and with one letter changed nothing.
    async fn check_url(&self, stranger: &Client, url: &str) -> Result<(), Failure> {
        let mut answer = self.session.client.download(url, 0, None).await?;
        let mut bytes = 0;
        while let Some(chunk) = answer.chunk().await? {
            bytes += chunk.len();
        }
        let listed = self.session.client.contents(&self.dataset)?.page(1, None).await?.items.pop();
        let length = listed.map_or(0, |file| file.bytes);
        expect(bytes as u64 == length, || "the signed URL does not give the file".to_owned())?;
        let (rest, last) = url.split_at(url.len() - 8);
        let forged = format!("{rest}{}", last.chars().rev().collect::<String>());
        let refused = self.session.client.download(&forged, 0, None).await.is_err();
        expect(refused || forged == url, || "a forged URL was served".to_owned())?;
        let turned_away = stranger.rules(None).page(1, None).await.is_err();
        expect(turned_away, || "a stranger was shown rules".to_owned())
    }
}

/// Where the files of a dataset lie at an endpoint.
fn place(dataset: &Did) -> PathBuf {
    Path::new(dataset.scope.as_str()).join(dataset.name.as_str())
}

pub(super) fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Unmet(otherwise())) }
}

/// The regular files below a directory by relative path, each as its hash.
fn files(root: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failure> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = std::fs::read_dir(&directory).map_err(|error| Failure::io("list", &directory, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| Failure::io("list", &directory, error))?;
            let (path, kind) = (entry.path(), entry.file_type());
            let kind = kind.map_err(|error| Failure::io("look at", &path, error))?;
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                let content = std::fs::read(&path).map_err(|error| Failure::io("read", &path, error))?;
                let relative = path.strip_prefix(root).expect("it was found below the root");
                found.insert(relative.to_owned(), hash(&content));
            }
        }
    }
    Ok(found)
}

fn hash(content: &[u8]) -> Vec<u8> {
    blake3::hash(content).as_bytes().to_vec()
}
