//! Real servers for tests: in the foreground, on free ports of the loopback, in directories of
//! their own, and gone when the test process is.
//!
//! A server runs under a small shell that waits for its own standard input to end and then stops
//! what it started, by number. The input is a pipe from this process, so it ends with it, however
//! that ends.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) mod apache;
pub(crate) mod dav;
pub(crate) mod nginx;
pub(crate) mod xrootd;

const START_SPAN_MAX: Duration = Duration::from_secs(30);

/// Starts what its arguments say, and stops it when the standard input ends. What the server leaves
/// to wait for is waited for, and its own children die with it.
const WATCHDOG: &str = "\"$@\" </dev/null & server=$!
cat >/dev/null
kill \"$server\" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -0 \"$server\" 2>/dev/null || break
  sleep 0.1
done
kill -9 \"$server\" 2>/dev/null
rm -rf \"$SCRATCH\"
";

/// A server of this test process.
pub(crate) struct Server {
    _watchdog: Child,
    scratch: PathBuf,
}

impl Server {
    /// Starts a program in the foreground; its directory is removed after it has stopped.
    pub(crate) fn start(program: &str, arguments: &[&str], scratch: TempDir, ports: &[u16]) -> Self {
        needed(program);
        // The watchdog removes it: destructors of statics never run.
        let scratch = scratch.keep();
        let log = std::fs::File::create(scratch.join("output")).expect("writable");
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", program])
            .args(arguments)
            .env("SCRATCH", &scratch)
            .current_dir(&scratch)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("there is a shell");
        let server = Self { _watchdog: watchdog, scratch };
        for port in ports {
            server.wait_for_port(*port);
        }
        server
    }

    fn wait_for_port(&self, port: u16) {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if started.elapsed() > START_SPAN_MAX {
                let output = std::fs::read_to_string(self.scratch.join("output")).unwrap_or_default();
                panic!("no server came up on port {port}: {output}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Fails with advice if a program is missing.
pub(crate) fn needed(program: &str) {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&directories).chain(["/usr/sbin".into()]).any(|d| d.join(program).exists());
    assert!(found, "{program} is not here: tests/run installs it");
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("the loopback is up");
    listener.local_addr().expect("it is bound").port()
}

/// A directory that servers running as other users can enter.
pub(crate) fn scratch() -> TempDir {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    open(scratch.path());
    scratch
}

/// Lets everybody into a directory, or read a file.
pub(crate) fn open(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// Makes a directory that every user may write to.
pub(crate) fn shared_directory(path: &Path) {
    std::fs::create_dir_all(path).expect("writable");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
}

/// Certificates of a test authority: for servers on this machine, and for one client.
pub(crate) struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// The only ones.
    pub(crate) fn get() -> &'static Self {
        static CERTIFICATES: OnceLock<Certificates> = OnceLock::new();
        CERTIFICATES.get_or_init(Self::make)
    }

    /// A file's path: `ca.pem`, `server.crt`, `server.key`, `client.crt`, `client.key`.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// A file's text.
    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("it was made")
    }

    fn make() -> Self {
        needed("openssl");
        let directory = scratch();
        let script = "set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout ca.key -out ca.pem \
  -subj '/CN=Test CA' -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
for name in server client; do
  openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj \"/O=Test/CN=$name\"
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nextendedKeyUsage=serverAuth,clientAuth\\nbasicConstraints=CA:FALSE\\n' >ext
  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out $name.crt
done
mkdir certs
cp ca.pem certs/
ln -s ca.pem certs/$(openssl x509 -hash -noout -in ca.pem).0
chmod -R a+rX .";
        let output = Command::new("sh").args(["-c", script]).current_dir(directory.path()).output().expect("a shell");
        assert!(output.status.success(), "{output:?}");
        Self { directory }
    }
}
