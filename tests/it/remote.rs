//! A lake over three kinds of storage, on real servers: files cross between all of them, and what
//! goes wrong on the way is told and healed.

mod crossing;
mod outages;

use std::path::PathBuf;

use dapple::model::endpoint::EndpointKind;
use dapple::service::view::{NewEndpoint, NewSettings, SecretText};

use crate::lake::{TestLake, name};
use crate::peers::apache::{PAIR, apache};
use crate::peers::radosgw::radosgw;
use crate::peers::{free_port, program};

/// A store on a real server, reached at a port of its own or by another way.
struct Store {
    kind: EndpointKind,
    location: String,
    secret: String,
    /// Where its files lie on this machine, if they do.
    directory: Option<PathBuf>,
}

/// A name that no test has used: ports are given once.
fn fresh() -> String {
    format!("t{}", free_port())
}

/// A new collection behind Apache's password.
fn on_apache(port: u16) -> Store {
    let (apache, name) = (apache(), fresh());
    Store {
        kind: EndpointKind::Webdav,
        location: format!("http://127.0.0.1:{port}/dav/{name}"),
        secret: format!("{}:{}", PAIR.0, PAIR.1),
        directory: Some(apache.directory.join("dav").join(name)),
    }
}

/// A new bucket of the S3 gateway.
fn on_radosgw(port: u16) -> Store {
    let gateway = radosgw();
    Store {
        kind: EndpointKind::S3,
        location: format!("http://127.0.0.1:{port}/{}", fresh()),
        secret: format!("{}:{}", gateway.key, gateway.secret),
        directory: None,
    }
}

impl TestLake {
    /// Adds an endpoint on a remote store, which makes its root and tries what it can do.
    async fn add_store(&self, endpoint: &str, store: &Store) {
        let new = NewEndpoint {
            name: name(endpoint),
            kind: store.kind,
            location: store.location.clone(),
            settings: NewSettings::default(),
            secret: Some(SecretText::new(store.secret.clone())),
            attributes: [("site".to_owned(), endpoint.to_owned())].into(),
            create: true,
            no_probe: false,
        };
        self.client.add_endpoint(&new).await.expect("an endpoint");
    }
}

/// Compares what two places hold, byte by byte, by a tool that is not ours: `local` against what
/// rclone finds at a store below `path`.
fn compare_by_rclone(local: &str, store: &Store, path: &str) {
    let rclone = program("rclone");
    let (name, word) = store.secret.split_once(':').expect("a pair");
    let remote = match store.kind {
        EndpointKind::S3 => {
            let (server, bucket) = store.location.rsplit_once('/').expect("a bucket");
            let settings = [
                ("TYPE", "s3"),
                ("PROVIDER", "Ceph"),
                ("ENDPOINT", server),
                ("ACCESS_KEY_ID", name),
                ("SECRET_ACCESS_KEY", word),
            ];
            (settings.map(|(key, value)| (format!("RCLONE_CONFIG_PEER_{key}"), value.to_owned())).to_vec(), bucket)
        }
        _ => {
            let hidden = crate::peers::run(&format!("{rclone} obscure '{word}'"));
            let settings = [("TYPE", "webdav"), ("URL", &*store.location), ("USER", name), ("PASS", hidden.trim())];
            (settings.map(|(key, value)| (format!("RCLONE_CONFIG_PEER_{key}"), value.to_owned())).to_vec(), "")
        }
    };
    let output = std::process::Command::new(&rclone)
        .args(["--config", "/dev/null", "check", "--download", "--checkers", "16", local])
        .arg(format!("peer:{}/{path}", remote.1))
        .env_remove("AWS_CA_BUNDLE")
        .envs(remote.0)
        .output()
        .expect("rclone runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("0 differences found"), "{said}");
}
