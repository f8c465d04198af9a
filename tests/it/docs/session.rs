//! A session of a page: one shell on a terminal, in a home of its own, with a lake and stores beside it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use dapple::app::stores::{Pair, Store, s3, webdav};
use dapple::clock::SystemClock;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::page::is_id;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) struct Session {
    shell: Child,
    input: Option<File>,
    output: Receiver<String>,
    /// What pages write, and what stands for it here.
    stand_ins: Vec<(&'static str, String)>,
    last_id: Option<String>,
    count: usize,
    port: u16,
    home: TempDir,
    _stores: [Store; 2],
    _runtime: Runtime,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// Files and directories that pages speak of as if they were there.
fn furnish(home: &Path, pair: &Pair) {
    let root = home.join("root");
    for directory in [
        "era5",
        "root/etc/dapple",
        "root/etc/bash_completion.d",
        "root/usr/local/share/man/man1",
        "root/srv/backups",
        "root/data",
        "s3/climate",
        "dav/data/dapple",
    ] {
        std::fs::create_dir_all(home.join(directory)).expect("made");
    }
    std::fs::write(home.join("era5/README.txt"), "Made up.\n").expect("written");
    for month in 0..12 {
        let field = format!("{month:03}").repeat(1_024);
        std::fs::write(home.join(format!("era5/t2m_{month:03}.nc")), field).expect("written");
    }
    for secret in ["s3.key", "dav.token", "ceph.secret", "desy.secret", "new.secret"] {
        std::fs::write(home.join(secret), pair.text()).expect("written");
        let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(home.join(secret), owner).expect("its owner's alone");
    }
    std::fs::write(home.join("password"), "a long and secret word\n").expect("written");
    assert!(root.is_dir());
    std::os::unix::fs::symlink(Path::new(super::ROOT).join("policies"), home.join("policies")).expect("linked");
}

impl Session {
    pub(super) fn begin() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let runtime = Runtime::new().expect("a runtime");
        let clock = SystemClock::shared();
        let pair = Pair::random(clock.as_ref());
        furnish(home.path(), &pair);
        let at = |directory: &str| home.path().join(directory);
        let anywhere = ([127, 0, 0, 1], 0).into();
        let serve = |router| runtime.block_on(Store::serve(router, anywhere, clock.clone())).expect("a store");
        let stores = [
            serve(s3::router(&at("s3"), &pair).expect("a store")),
            serve(webdav::router(&at("dav"), &pair).expect("a store")),
        ];
        let (port, root) = (free_port(), at("root").display().to_string());
        let stand_ins = vec![
            ("127.0.0.1:7070", format!("127.0.0.1:{port}")),
            ("https://s3.example.org", format!("http://{}", stores[0].address)),
            ("https://dav.example.org", format!("http://{}", stores[1].address)),
            ("/srv/", format!("{root}/srv/")),
            ("/data/lisbon", format!("{root}/data/lisbon")),
            ("/data/porto", format!("{root}/data/porto")),
            ("/etc/", format!("{root}/etc/")),
            ("/usr/local/", format!("{root}/usr/local/")),
        ];
        let (shell, input, output) = open_shell(home.path(), port);
        Self {
            shell,
            input: Some(input),
            output,
            stand_ins,
            last_id: None,
            count: 0,
            port,
            home,
            _stores: stores,
            _runtime: runtime,
        }
    }

    /// Serves a lake, as pages take for granted.
    pub(super) fn serve(&mut self) {
        let lake = self.home.path().join("lake").display().to_string();
        let port = self.port;
        self.run(&format!("dapple serve --dir '{lake}' --listen 127.0.0.1:{port} 2>'{lake}.log' &"));
        self.run(&format!("export DAPPLE_TOKEN=$(cat '{lake}/admin.key')"));
    }

    /// Carries out what a page takes for granted.
    pub(super) fn prepare(&mut self, commands: &[&str]) {
        for command in commands {
            let (status, printed) = self.run(command);
            assert_eq!(status, 0, "{command}:\n{}", printed.join("\n"));
        }
    }

    /// A command with the last id that was printed in the place of `ID`.
    pub(super) fn with_id(&self, command: &str) -> String {
        let is_id = |word: &&str| *word == "ID";
        if !command.split(' ').any(|word| is_id(&word)) {
            return command.to_owned();
        }
        let id = self.last_id.as_deref().unwrap_or_else(|| panic!("`{command}`: no id was printed before"));
        command.split(' ').map(|word| if is_id(&word) { id } else { word }).collect::<Vec<_>>().join(" ")
    }

    /// Carries out a command; returns how it exits, and what it prints.
    pub(super) fn run(&mut self, command: &str) -> (i32, Vec<String>) {
        let mut typed = command.to_owned();
        for (there, here) in &self.stand_ins {
            typed = typed.replace(there, here);
        }
        self.count += 1;
        let mark = format!("@@{} ", self.count);
        let input = self.input.as_mut().expect("the shell is there");
        writeln!(input, "{typed}\nprintf '\\n{mark}%d@@\\n' $?").expect("the shell reads");
        let mut lines = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.output.recv_timeout(left).unwrap_or_else(|_| {
                panic!("`{command}` does not end; it printed:\n{}", lines.join("\n"));
            });
            match line.strip_prefix(&mark).and_then(|rest| rest.strip_suffix("@@")) {
                Some(status) => break status.parse().expect("a status"),
                None => lines.push(line),
            }
        };
        // The mark begins a line of its own.
        if lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        if command.trim_end().ends_with('&') {
            self.await_server();
        }
        let lines: Vec<String> = lines.iter().map(|line| self.as_on_the_page(line)).collect();
        let id = lines.iter().flat_map(|line| line.split_whitespace()).rfind(|word| is_id(word)).map(str::to_owned);
        self.last_id = id.or(self.last_id.take());
        (status, lines)
    }

    fn as_on_the_page(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (there, here) in &self.stand_ins {
            line = line.replace(here.as_str(), there);
        }
        line
    }

    /// A server that was started in the background answers soon.
    fn await_server(&self) {
        let begun = Instant::now();
        while !answers(self.port) {
            assert!(begun.elapsed() < PATIENCE, "no server listens");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Tells whether a server answers. One that only listens may not have made its lake yet.
fn answers(port: u16) -> bool {
    let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = [0; 16];
    let asked = socket.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    asked.is_ok() && socket.read(&mut answer).is_ok_and(|read| answer[..read].starts_with(b"HTTP/1.1 200"))
}

/// A shell that reads what is written to a pipe, line by line, and writes to a terminal.
fn open_shell(home: &Path, port: u16) -> (Child, File, Receiver<String>) {
    let pipe = home.join("typed");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let binary = Path::new(env!("CARGO_BIN_EXE_dapple")).parent().expect("a directory");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("script")
        .args(["-qefc", "exec bash --norc --noprofile typed", "/dev/null"])
        .current_dir(home)
        .env_clear()
        .envs([("PATH", path.as_str()), ("TERM", "dumb"), ("LC_ALL", "C.UTF-8"), ("NO_COLOR", "1")])
        .env("HOME", home)
        .env("SHELL", "/bin/bash")
        .env("DAPPLE_URL", format!("http://127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs: it is in Debian's bsdutils");
    // For reading, too, so that this does not wait for the shell.
    let input = OpenOptions::new().read(true).write(true).open(&pipe).expect("a pipe");
    let output = BufReader::new(shell.stdout.take().expect("piped"));
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in output.split(b'\n') {
            let Ok(line) = line else { break };
            let text = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            // Of a line that was written over, as those of progress are, the last stays.
            let last = text.rsplit(['\r', '\x1b']).next().unwrap_or_default();
            let last = last.strip_prefix("[2K").unwrap_or(last).to_owned();
            if send.send(last).is_err() {
                break;
            }
        }
    });
    (shell, input, receive)
}

impl Drop for Session {
    fn drop(&mut self) {
        // Servers that the page started are jobs of its shell.
        if let Some(mut input) = self.input.take() {
            let _ = writeln!(input, "kill $(jobs -p) 2>/dev/null; wait; exit 0");
        }
        let begun = Instant::now();
        while matches!(self.shell.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(15) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
