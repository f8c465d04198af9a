//! Signed URLs in the hands of the tools that people have: curl, wget, Python. `tests/run` installs
//! them.

use std::process::Command;

use dapple::model::checksum::{Algorithm, Checksum};

use crate::gateway::world::{World, pattern};

async fn run(program: &'static str, arguments: &[&str]) -> (bool, Vec<u8>, String) {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let running = tokio::task::spawn_blocking(move || Command::new(program).args(arguments).output());
    let output = running.await.expect("it does not panic");
    let output = output.unwrap_or_else(|error| panic!("{program} does not run, see tests/run: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), output.stdout, complaint)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_reads_ranges_resumes_and_uploads() {
    let (world, content) = (World::new().await, pattern(3_000_000));
    let curl = async |arguments: &[&str]| {
        let (good, out, complaint) = run("curl", &[&["-sS", "--noproxy", "*"], arguments].concat()).await;
        assert!(good, "{complaint}");
        out
    };
    // Larger than a megabyte, so that curl expects `100 Continue`.
    let path = world.scratch().join("up");
    std::fs::write(&path, &content).expect("writable");
    let upload = world.announce("dir/a b.nc", &content).await;
    let told = curl(&["-f", "-T", path.to_str().unwrap(), &upload]).await;
    assert!(String::from_utf8_lossy(&told).contains("\"did\":\"s:dir/a b.nc\""));
    let url = world.url("s:dir/a b.nc", 60).await;
    assert!(curl(&["-f", &url]).await == content);
    assert!(curl(&["-f", "-r", "1000000-2000000", &url]).await == content[1_000_000..=2_000_000]);
    assert!(curl(&["-f", "-r", "-10", &url]).await == content[2_999_990..]);
    let head = String::from_utf8_lossy(&curl(&["-f", "-I", &url]).await).to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("content-length: 3000000"), "{head}");
    let part = world.scratch().join("part");
    std::fs::write(&part, &content[..1_234_567]).expect("writable");
    curl(&["-f", "-C", "-", "-o", part.to_str().unwrap(), &url]).await;
    assert!(std::fs::read(&part).expect("there") == content, "resumed");
    // Named by the server, saved where the user is.
    let directory = world.scratch().join("saved");
    curl(&["-f", "-OJ", "--create-dirs", "--output-dir", directory.to_str().unwrap(), &url]).await;
    assert!(std::fs::read(directory.join("a b.nc")).expect("there") == content);
    let status = curl(&["-o", "/dev/null", "-w", "%{http_code}", "-X", "DELETE", &url]).await;
    assert_eq!(status, b"405");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wget_resumes_and_walks_a_dataset() {
    let (world, content) = (World::new().await, pattern(1_000_000));
    let url = world.put("sub/a.nc", &content).await;
    world.put("b c.nc", b"bytes").await;
    let file = world.scratch().join("a.nc");
    std::fs::write(&file, &content[..333_333]).expect("writable");
    let (good, _, complaint) = run("wget", &["-q", "--no-proxy", "-c", "-O", file.to_str().unwrap(), &url]).await;
    assert!(good, "{complaint}");
    assert!(std::fs::read(&file).expect("there") == content);
    let (base, tree) = (world.url("s:set", 60).await, world.scratch().join("tree"));
    let into = tree.to_str().unwrap();
    let arguments = ["-q", "--no-proxy", "-r", "-np", "-nH", "--cut-dirs=3", "-P", into, "-e", "robots=off"];
    let html = ["--header", "Accept: text/html", &base];
    let (good, _, complaint) = run("wget", &[&arguments[..], &html].concat()).await;
    assert!(good, "{complaint}");
    assert!(std::fs::read(tree.join("sub/a.nc")).expect("walked") == content);
    assert_eq!(std::fs::read(tree.join("b c.nc")).expect("walked"), b"bytes");
}

const SCRIPT: &str = r#"
import hashlib, sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
url, missing = sys.argv[1:]
with opener.open(url) as answer:
    assert int(answer.headers["Content-Length"]) == 700000
    assert answer.headers.get_filename() == "a.nc", answer.headers.get_filename()
    print(hashlib.sha256(answer.read()).hexdigest())
with opener.open(urllib.request.Request(url, headers={"Range": "bytes=5-9"})) as answer:
    assert answer.status == 206
    print(answer.read().hex())
try:
    opener.open(missing)
except urllib.error.HTTPError as error:
    print(error.code, error.headers["Content-Type"])
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_reads_with_nothing_installed() {
    use sha2::Digest as _;

    let (world, content) = (World::new().await, pattern(700_000));
    let url = world.put("a.nc", &content).await;
    let missing = format!("{}a.nc.ovr", world.url("s:set", 60).await);
    let (good, out, complaint) = run("python3", &["-c", SCRIPT, &url, &missing]).await;
    assert!(good, "{complaint}");
    let digest = sha2::Sha256::digest(&content).to_vec();
    let digest = Checksum::new(Algorithm::Sha256, digest).expect("32 bytes").hex();
    let expected = [&digest, "0506070809", "404 application/problem+json"];
    assert_eq!(String::from_utf8_lossy(&out).lines().collect::<Vec<_>>(), expected);
}
