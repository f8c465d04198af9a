//! Real servers for tests: each is started once for this test binary, on free loopback ports, in a
//! directory of its own, and ended by its own pid when the binary ends.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) mod apache;
pub(crate) mod dav;
pub(crate) mod nginx;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod radosgw;
pub(crate) mod s3s;
pub(crate) mod xrootd;

/// How long a server may take to come up. Far more than it needs; a machine may be busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// Waits until somebody listens on a port.
pub(crate) fn wait_for_port(port: u16, who: &str) {
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < PATIENCE, "{who} does not listen on {port}; see its log in {}", home().display());
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "a server of the world takes its time")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// Where servers keep their files: goes away with the last of them.
pub(crate) fn home() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = tempfile::Builder::new().prefix("dapple-peers-").tempdir().expect("a scratch directory").keep();
        open_to_all(&home);
        // Its watchdog removes it when this binary ends, however it ends.
        let script = format!("cat >/dev/null; sleep 3; rm -rf '{}'", home.display());
        leave_behind(&script, &home.join("home.log"));
        home
    })
}

/// Servers drop their rights, and must get at their files all the same.
pub(crate) fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// A process that ends with this one: its shell waits for the end of its standard input, which comes
/// when this process is gone, and kills its child by its pid.
pub(crate) struct Server {
    shell: Child,
    input: Option<ChildStdin>,
}

impl Server {
    /// Starts a program that stays in the foreground.
    pub(crate) fn start(command: &str, log: &Path) -> Self {
        Self::start_ended_by("TERM", command, log)
    }

    /// The same, ended by a signal of choice.
    pub(crate) fn start_ended_by(signal: &str, command: &str, log: &Path) -> Self {
        let script = format!("{command} & pid=$!; cat >/dev/null; kill -{signal} $pid 2>/dev/null; wait $pid");
        let mut shell = spawn(&script, log);
        let input = shell.stdin.take();
        Self { shell, input }
    }

    /// Keeps the server until this process ends: its watchdog waits for that.
    pub(crate) fn keep(self) {
        std::mem::forget((self.shell, self.input));
    }

    /// Ends the server now, and waits for it.
    pub(crate) fn stop(mut self) {
        drop(self.input.take());
        self.shell.wait().expect("it was started");
    }
}

/// Runs a script that nobody waits for.
fn leave_behind(script: &str, log: &Path) {
    std::mem::forget(spawn(script, log));
}

fn spawn(script: &str, log: &Path) -> Child {
    let log = OpenOptions::new().create(true).append(true).open(log).expect("a log");
    Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("there is a shell")
}

/// The path of a program, or a panic that says how to get it.
pub(crate) fn program(name: &str) -> String {
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(|at| Path::new(at).join(name));
    let found = found.into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not here: tests/run installs it")).display().to_string()
}

/// Runs a command to its end and gives what it said.
pub(crate) fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().expect("there is a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// A certificate authority for tests, with a certificate of this machine and one of a client.
pub(crate) struct Authority {
    pub(crate) directory: PathBuf,
}

impl Authority {
    /// The authority's certificate (PEM).
    pub(crate) fn certificate(&self) -> String {
        self.read("ca.pem")
    }

    /// The client's certificate and key (PEM).
    pub(crate) fn client(&self) -> String {
        self.read("client.crt") + &self.read("client.key")
    }

    /// A file of the authority's: `ca.pem`, `server.crt`, `server.key`, `client.crt` or `client.key`.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.join(name)).expect("it was made")
    }
}

/// The authority, made when first asked for.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let directory = home().join("ca");
        std::fs::create_dir_all(directory.join("certs")).expect("a scratch directory");
        let mut extensions = std::fs::File::create(directory.join("extensions")).expect("a file");
        let lines = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n\
                     keyUsage=digitalSignature,keyEncipherment\nbasicConstraints=CA:FALSE\n";
        extensions.write_all(lines.as_bytes()).expect("room");
        program("openssl");
        run(&format!(
            "cd '{}' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3 -keyout ca.key \
             -out ca.pem -subj '/CN=Tests' -addext basicConstraints=critical,CA:TRUE \
             -addext keyUsage=critical,keyCertSign,cRLSign && for n in server client; do \
             openssl req -newkey rsa:2048 -nodes -keyout $n.key -out $n.csr -subj \"/O=Tests/CN=$n\" && \
             openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3 -extfile extensions \
             -out $n.crt || exit 1; done && cp ca.pem certs/ && \
             ln -sf ca.pem certs/$(openssl x509 -hash -noout -in ca.pem).0 && chmod 644 *.key",
            directory.display()
        ));
        open_to_all(&directory);
        Authority { directory }
    })
}
