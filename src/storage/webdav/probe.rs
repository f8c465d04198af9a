//! Tries what a server can do, by the effect, and removes what it made.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use reqwest::StatusCode;
use reqwest::header::HeaderValue;

use crate::clock::within;
use crate::model::checksum::Algorithm;
use crate::model::probe::{Feature, Finding};
use crate::storage::backend::{ByteRange, Check, Overwrite, PROBE_CLEAN_SPAN_MAX, Room, StorageError};
use crate::storage::hash::Hasher;
use crate::storage::layout;
use crate::storage::probe::tried_and_removed;
use crate::storage::webdav::Webdav;
use crate::storage::webdav::feed::Feed;
use crate::storage::webdav::look::{Seen, digests};
use crate::storage::webdav::multistatus;
use crate::storage::webdav::server::{Ask, Payload, Verb, faulty, is_passing, refusal};
use crate::storage::webdav::stage::put;

const CONTENT: &[u8] = b"dapple looks at what this server can do; this object may be removed at any time";
const OTHER: &[u8] = b"another object of dapple's, of another length";
/// A PUT that is to break off: what it announces, and what it sends.
const BROKEN_BYTES: u64 = 3 << 20;
const SENT_CHUNKS: usize = 8;
const SENT_CHUNK_BYTES: usize = 64 << 10;
/// When to look for what a broken-off PUT left: a server may take a while to notice.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(150), Duration::from_millis(300), Duration::from_millis(500)];

/// Names a probe uses.
struct Names {
    one: String,
    two: String,
    copy: String,
    broken: String,
}

impl Webdav {
    /// A name that nobody else has.
    pub(super) fn probe_name(&self) -> String {
        layout::probe_name(self.server.clock.as_ref())
    }

    pub(super) async fn try_all(&self) -> Result<Vec<Finding>, StorageError> {
        self.root_is_there().await?;
        let name = self.probe_name();
        let names = Names {
            one: name.clone(),
            two: format!("{name}-2"),
            copy: format!("{name}-copy"),
            broken: format!("{name}-broken"),
        };
        self.sweep_probes().await;
        let all = [&*names.one, &*names.two, &*names.copy, &*names.broken];
        let mut findings = self.cleaned(self.try_each(&names), &all).await?;
        findings.sort_by_key(|finding| finding.feature);
        Ok(findings)
    }

    /// Looks at the root, and writes an object into it if it has to take some.
    pub(super) async fn look_or_write(&self, what: Check) -> Result<(), StorageError> {
        match self.server.look("").await? {
            Seen::Collection => {}
            Seen::Nothing | Seen::Object(_) => return self.root_is_there().await,
        }
        match what {
            Check::Reading => Ok(()),
            Check::Writing => {
                let name = self.probe_name();
                self.cleaned(self.write(&name, CONTENT), &[&name]).await
            }
        }
    }

    /// Tries something for so long, and removes what may have come of it whatever the outcome.
    async fn cleaned<T>(
        &self,
        trying: impl Future<Output = Result<T, StorageError>>,
        names: &[&str],
    ) -> Result<T, StorageError> {
        let removing = async {
            let removed = join_all(names.iter().map(|name| self.remove_patiently(name))).await;
            removed.into_iter().collect()
        };
        tried_and_removed(self.server.clock.as_ref(), trying, removing).await
    }

    /// Removes what probes left that did not come to their end. It is in nobody's way, so that it
    /// cannot be found or removed is no reason to fail.
    async fn sweep_probes(&self) {
        let now = self.server.clock.now();
        let sweeping = async {
            for name in self.in_root().await.into_iter().filter(|name| layout::is_left_by_probe(name, now)) {
                if let Err(error) = self.remove(&name).await {
                    tracing::debug!(%error, "what an earlier probe left could not be removed");
                }
            }
        };
        let _ = within(self.server.clock.as_ref(), PROBE_CLEAN_SPAN_MAX, sweeping).await;
    }

    /// Removes what a broken-off PUT may have left locked.
    async fn remove_patiently(&self, name: &str) -> Result<(), StorageError> {
        for pause in LOOKS {
            if self.remove(name).await.is_ok() {
                return Ok(());
            }
            self.server.wait(pause).await;
        }
        self.remove(name).await.map(|_| ())
    }

    async fn try_each(&self, names: &Names) -> Result<Vec<Finding>, StorageError> {
        self.write(&names.one, CONTENT).await?;
        self.write(&names.two, OTHER).await?;
        let mut findings = vec![self.try_range(&names.one).await?, self.try_put(&names.one).await?];
        self.write(&names.one, CONTENT).await?;
        findings.push(self.try_move(names).await?);
        self.write(&names.one, CONTENT).await?;
        findings.push(self.try_copy(names).await?);
        for (feature, algorithm) in [
            (Feature::TellsAdler32, Algorithm::Adler32),
            (Feature::TellsCrc32c, Algorithm::Crc32c),
            (Feature::TellsMd5, Algorithm::Md5),
        ] {
            findings.push(self.try_digest(&names.one, feature, algorithm).await?);
        }
        findings.push(self.try_room().await?);
        let refuses = findings.iter().any(|finding| finding.feature == Feature::PutRefusesToReplace && finding.holds);
        // The last, because names may stay locked for a while afterwards. XRootD 5.5 was seen to die of
        // it, so it is done only where something depends on it.
        findings.push(if refuses {
            self.try_broken(names).await?
        } else {
            finding(Feature::WholePut, false, "not tried: it would help only where a PUT can be refused")
        });
        Ok(findings)
    }

    /// Writes and reads back, which every server must be able to do.
    async fn write(&self, name: &str, content: &'static [u8]) -> Result<(), StorageError> {
        let status = self.put_bytes(name, content, None).await?;
        if !status.is_success() {
            return Err(refusal(name, status));
        }
        let found = self.whole(name).await?;
        if found == content {
            Ok(())
        } else {
            Err(faulty(name, format!("it took {} bytes and gives {}", content.len(), found.len())))
        }
    }

    async fn put_bytes(
        &self,
        name: &str,
        content: &'static [u8],
        condition: Option<&'static str>,
    ) -> Result<StatusCode, StorageError> {
        let mut ask = put(self, name, Payload::Held(Bytes::from_static(content)), content.len() as u64);
        if let Some(condition) = condition {
            ask = ask.header("if-none-match", condition);
        }
        Ok(self.server.ask(ask).await?.status())
    }

    async fn whole(&self, name: &str) -> Result<Vec<u8>, StorageError> {
        let content = self.open_stream(name, None).await?;
        let all: Vec<Bytes> = content.take(64).try_collect().await?;
        Ok(all.concat())
    }

    async fn try_range(&self, name: &str) -> Result<Finding, StorageError> {
        let range = ByteRange { start: 7, end: 29 };
        let mut ask = Ask::new(Verb::Get, self.server.address.object(name), name).header("range", "bytes=7-28");
        ask.span = None;
        let status = lasting(name, self.server.ask(ask).await?.status())?.as_u16();
        if status != 206 {
            return Ok(finding(Feature::RangedRead, false, &status.to_string()));
        }
        let bytes = match self.open_stream(name, Some(range)).await {
            Ok(content) => content.try_collect::<Vec<Bytes>>().await.map(|all| all.concat()),
            Err(error) => Err(error),
        };
        Ok(match bytes {
            Ok(bytes) if bytes == CONTENT[7..29] => finding(Feature::RangedRead, true, "206"),
            Err(error @ StorageError::Unavailable { .. }) => return Err(error),
            Ok(_) | Err(_) => finding(Feature::RangedRead, false, "206, other bytes"),
        })
    }

    async fn try_put(&self, name: &str) -> Result<Finding, StorageError> {
        let status = lasting(name, self.put_bytes(name, OTHER, Some("*")).await?)?.as_u16();
        let is_unchanged = self.whole(name).await? == CONTENT;
        let seen = format!("{status}, {}", if is_unchanged { "unchanged" } else { "replaced it" });
        Ok(finding(Feature::PutRefusesToReplace, status == 412 && is_unchanged, &seen))
    }

    async fn try_move(&self, names: &Names) -> Result<Finding, StorageError> {
        let destination = self.server.address.destination(&names.one, self.destination_style(&names.one).await?);
        let destination = HeaderValue::from_bytes(&destination).expect("the root's own name can be a header");
        let outcome = self.relocate(&names.two, &names.one, destination, Overwrite::Refuse).await;
        let is_unchanged = self.whole(&names.one).await? == CONTENT;
        let stays = self.server.look(&names.two).await? == Seen::Object(OTHER.len() as u64);
        let refuses = matches!(outcome, Err(StorageError::Exists { .. }));
        let said = match &outcome {
            Ok(()) => "it agreed".to_owned(),
            Err(StorageError::Exists { .. }) => "412".to_owned(),
            Err(error) => error.to_string(),
        };
        let seen = format!("{said}, {}", if is_unchanged && stays { "unchanged" } else { "replaced it" });
        Ok(finding(Feature::MoveRefusesToReplace, refuses && is_unchanged && stays, &seen))
    }

    /// Breaks off a PUT to a new name, and one to a name that is taken.
    async fn try_broken(&self, names: &Names) -> Result<Finding, StorageError> {
        for name in [&names.broken, &names.one] {
            if let Err(why) = self.break_off(name).await {
                return Ok(finding(Feature::WholePut, false, &format!("it could not be tried: {why}")));
            }
        }
        for pause in LOOKS {
            self.server.wait(pause).await;
            if let Seen::Object(bytes) = self.server.look(&names.broken).await? {
                return Ok(finding(Feature::WholePut, false, &format!("{bytes} bytes were left")));
            }
            if self.server.look(&names.one).await? != Seen::Object(CONTENT.len() as u64) {
                return Ok(finding(Feature::WholePut, false, "what had the name was spoilt"));
            }
        }
        let is_unchanged = self.whole(&names.one).await? == CONTENT;
        let seen = if is_unchanged { "nothing was left" } else { "what had the name was spoilt" };
        Ok(finding(Feature::WholePut, is_unchanged, seen))
    }

    /// Sends a part of what it announces and cuts the connection; tells why if it did not come to that:
    /// what was refused before proves nothing.
    async fn break_off(&self, name: &str) -> Result<(), String> {
        let chunk = Bytes::from(vec![b'x'; SENT_CHUNK_BYTES]);
        let chunks = (0..SENT_CHUNKS).map(move |_| Ok(chunk.clone()));
        let broken = StorageError::Unavailable { path: name.to_owned(), what: "broken off on purpose".to_owned() };
        let clock = self.server.clock.clone();
        // The pause lets what was sent reach the server before the connection is cut.
        let end = stream::once(async move {
            clock.sleep(Duration::from_millis(100)).await;
            Err(broken)
        });
        let feed = Feed::new(name, BROKEN_BYTES, stream::iter(chunks).chain(end).boxed());
        let outcome = self.server.ask(put(self, name, Payload::Fed(feed.clone()), BROKEN_BYTES)).await;
        let is_broken = feed.fault().is_some() && feed.handed() == (SENT_CHUNKS * SENT_CHUNK_BYTES) as u64;
        match outcome {
            Err(_) if is_broken => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(response) => Err(response.status().to_string()),
        }
    }

    async fn try_copy(&self, names: &Names) -> Result<Finding, StorageError> {
        let bytes = CONTENT.len() as u64;
        Ok(match self.copy(self, &names.one, &names.copy, bytes).await {
            Ok(false) => finding(Feature::ServerCopy, false, "it does not copy"),
            Err(error @ StorageError::Unavailable { .. }) => return Err(error),
            Err(error) => finding(Feature::ServerCopy, false, &error.to_string()),
            Ok(true) => match self.whole(&names.copy).await {
                Ok(found) if found == CONTENT => finding(Feature::ServerCopy, true, "the same bytes"),
                Ok(found) => finding(Feature::ServerCopy, false, &format!("{} of {bytes} bytes", found.len())),
                Err(error @ StorageError::Unavailable { .. }) => return Err(error),
                Err(error) => finding(Feature::ServerCopy, false, &error.to_string()),
            },
        })
    }

    async fn try_digest(&self, name: &str, feature: Feature, algorithm: Algorithm) -> Result<Finding, StorageError> {
        let mut hasher = Hasher::new(&[algorithm]);
        hasher.update(CONTENT);
        let hashed = hasher.finish();
        let expected = hashed.checksum(algorithm).expect("it was asked for");
        let response = self.server.ask_digest(name, CONTENT.len() as u64, algorithm).await?;
        let status = lasting(name, response.status())?;
        if status != StatusCode::OK {
            return Ok(finding(feature, false, &status.to_string()));
        }
        let told = digests(&response);
        Ok(match told.first() {
            _ if told.contains(expected) => finding(feature, true, "the right one"),
            Some(other) => finding(feature, false, &format!("it told {other}")),
            None => finding(feature, false, "none was told"),
        })
    }

    async fn try_room(&self) -> Result<Finding, StorageError> {
        Ok(match self.quota().await? {
            Some(room) => {
                let seen = format!("{} of {} bytes are free", room.free_bytes, room.total_bytes);
                finding(Feature::Room, true, &seen)
            }
            None => finding(Feature::Room, false, "no quota was told"),
        })
    }

    /// The quota of the root collection, as RFC 4331 has it.
    pub(super) async fn quota(&self) -> Result<Option<Room>, StorageError> {
        let facts = self.server.facts("", multistatus::ROOM_QUESTION).await?;
        let Some(facts) = facts else { return Err(self.absent("").await) };
        Ok(facts.available_bytes.map(|free_bytes| Room {
            total_bytes: free_bytes.saturating_add(facts.used_bytes.unwrap_or(0)),
            free_bytes,
        }))
    }
}

/// Fails with what passes: that is nothing to remember of a server.
fn lasting(name: &str, status: StatusCode) -> Result<StatusCode, StorageError> {
    if is_passing(status) { Err(refusal(name, status)) } else { Ok(status) }
}

fn finding(feature: Feature, holds: bool, seen: &str) -> Finding {
    Finding { feature, holds, seen: seen.to_owned() }
}
