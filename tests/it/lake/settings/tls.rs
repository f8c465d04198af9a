//! TLS: spoken where it should be, with certificates that change without a restart.

use std::fs;
use std::path::Path;

use dapple::app::serve::{Server, start};
use dapple::client::Client;
use dapple::clock::SystemClock;
use dapple::config::resolve::{Sources, resolve};
use dapple::net::{self, Trust};
use tempfile::TempDir;

use crate::peers::{authority, free_port, run};

use super::{Instant, PATIENCE, pause};

/// Puts a pair of the authority's where the server looks for its own.
fn place(directory: &Path, pair: &str) {
    for kind in ["crt", "key"] {
        fs::write(directory.join(kind), authority().read(&format!("{pair}.{kind}"))).expect("written");
    }
}

async fn serve(directory: &Path, plain: u16) -> Server {
    let text = format!(
        "[serve]\ndir = \"lake\"\nlisten = [\"127.0.0.1:0\", \"http://127.0.0.1:{plain}\"]\n\
                [tls]\ncertificate = \"crt\"\nkey = \"key\"\nreload_every = \"1s\"\nhandshake_time = \"1s\"\n"
    );
    let file = Some((directory.join("dapple.toml"), text));
    let resolved = resolve(&Sources { file, ..Sources::default() }).expect("good settings");
    start(resolved.settings).await.expect("a server")
}

/// Whose certificate is shown.
fn shown(address: &str, extra: &str) -> String {
    run(&format!(
        "openssl s_client -connect {address} {extra} </dev/null 2>&1 | grep -E 'subject=|Protocol|ALPN' || true"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_a_new_certificate_needs_no_restart() {
    let scratch = TempDir::new().expect("a scratch directory");
    place(scratch.path(), "server");
    let port = free_port();
    let server = serve(scratch.path(), port).await;
    let address = server.url.strip_prefix("https://").expect("it is TLS").to_owned();
    let ca = Trust { ca: Some(authority().certificate()), identity: None };
    let trusting = net::trusting(net::builder(), &ca).expect("an authority");
    let key = Some(server.admin_key.clone());
    let client = Client::from_builder(trusting, &server.url, key.clone(), SystemClock::shared()).expect("a URL");
    assert!(client.scopes().page(10, None).await.expect("listed").items.is_empty());
    let strict = Client::new(&server.url, key, SystemClock::shared()).expect("a URL").with_pauses(Vec::new());
    assert!(strict.health().await.is_err(), "nobody knows this authority");
    let plain = Client::new(&format!("http://{address}"), None, SystemClock::shared()).expect("a URL");
    assert!(plain.with_pauses(Vec::new()).health().await.is_err(), "it speaks TLS alone");
    let beside = Client::new(&format!("http://127.0.0.1:{port}"), None, SystemClock::shared()).expect("a URL");
    assert!(beside.health().await.is_ok(), "the other address is plain, as it says");
    // Whoever never begins to shake hands is let go.
    let mut silent = tokio::net::TcpStream::connect(&address).await.expect("a connection");
    assert_eq!(super::read_to_end(&mut silent).await, "");

    let first = shown(&address, "-alpn h2,http/1.1");
    assert!(first.contains("CN = server") || first.contains("CN=server"), "{first}");
    assert!(first.contains("ALPN protocol: http/1.1"), "{first}");
    let old = run(&format!("openssl s_client -connect {address} -tls1_1 </dev/null 2>&1 || true"));
    assert!(!old.contains("BEGIN CERTIFICATE"), "TLS 1.1 is not spoken: {old}");
    // A pair that does not belong together changes nothing, however long it lies there.
    fs::write(scratch.path().join("crt"), authority().read("client.crt")).expect("written");
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert!(shown(&address, "").contains("server"), "the old pair stays");
    place(scratch.path(), "client");
    let began = Instant::now();
    while !shown(&address, "").replace(' ', "").contains("CN=client") {
        assert!(began.elapsed() < PATIENCE, "the new pair is never used");
        pause().await;
    }
    assert!(client.health().await.is_ok());
    server.stop().await.expect("a clean stop");
}

#[tokio::test]
async fn a_server_does_not_start_on_a_certificate_that_cannot_be_used() {
    let scratch = TempDir::new().expect("a scratch directory");
    let pairs = [
        ("server.crt", "client.key", "does not go with its key"),
        ("server.key", "server.key", "no certificate is in it"),
        ("server.crt", "server.crt", "no private key"),
    ];
    for (certificate, key, wanted) in pairs {
        fs::write(scratch.path().join("crt"), authority().read(certificate)).expect("written");
        fs::write(scratch.path().join("key"), authority().read(key)).expect("written");
        let text = "[serve]\ndir = \"lake\"\nlisten = \"127.0.0.1:0\"\n[tls]\ncertificate = \"crt\"\nkey = \"key\"\n";
        let file = Some((scratch.path().join("dapple.toml"), text.to_owned()));
        let settings = resolve(&Sources { file, ..Sources::default() }).expect("good settings").settings;
        let error = start(settings).await.err().expect("it cannot be used").to_string();
        assert!(error.contains(wanted), "{error}");
        assert!(!error.contains("BEGIN"), "nothing of a key is told");
    }
}
