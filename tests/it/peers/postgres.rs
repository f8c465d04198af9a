//! PostgreSQL: one server for the tests, with a database for each.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Server, free_port, home, program, run, wait_for_port};

/// A PostgreSQL server.
pub(crate) struct Postgres {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    /// Before a command: the server does not run as root.
    as_owner: &'static str,
}

/// The server that tests share, started when first asked for.
pub(crate) fn postgres() -> &'static Postgres {
    static POSTGRES: OnceLock<Postgres> = OnceLock::new();
    POSTGRES.get_or_init(|| {
        let postgres = Postgres::prepare("postgres", "fsync = off");
        postgres.start().keep();
        postgres
    })
}

/// A program of PostgreSQL, of the newest version that is here.
fn binary(name: &str) -> String {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = versions.map(|at| at.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().map_or_else(|| program(name), |path| path.display().to_string())
}

impl Postgres {
    /// A server that is not started yet, in a directory of its own.
    pub(crate) fn prepare(name: &str, settings: &str) -> Self {
        let directory = home().join(name);
        std::fs::create_dir_all(&directory).expect("a scratch directory");
        let is_root = run("id -u").trim() == "0";
        let d = directory.display();
        let as_owner = if is_root { "setpriv --reuid=postgres --regid=postgres --clear-groups" } else { "" };
        if is_root {
            run(&format!("chown postgres: '{d}'"));
        }
        let initdb = binary("initdb");
        run(&format!(
            "{as_owner} {initdb} -D '{d}/data' -U ada -A trust -E UTF8 --locale=C --no-sync >'{d}/../{name}-initdb.log' 2>&1"
        ));
        let port = free_port();
        let text = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nmax_connections = 400\n\
             max_pred_locks_per_transaction = 1024\nshared_buffers = 64MB\n{settings}\n"
        );
        let conf = directory.join("data").join("postgresql.conf");
        std::fs::write(&conf, text).expect("room");
        Self { directory, port, as_owner }
    }

    /// Starts the server.
    pub(crate) fn start(&self) -> Server {
        let log = self.directory.with_extension("log");
        let data = self.directory.join("data");
        // Its shell ends it by SIGTERM, which waits for sessions; SIGINT breaks them off.
        let command = format!("{} {} -D '{}'", self.as_owner, binary("postgres"), data.display());
        let server = Server::start_ended_by("INT", &command, &log);
        wait_for_port(self.port, "PostgreSQL");
        self.until_ready();
        server
    }

    fn until_ready(&self) {
        let ready = binary("pg_isready");
        run(&format!(
            "for n in $(seq 600); do {ready} -q -h 127.0.0.1 -p {} && exit 0; sleep 0.1; done; exit 1",
            self.port
        ));
    }

    /// Ends the server as a crash would, and starts it again.
    pub(crate) fn crash(&self) {
        let pid = self.directory.join("data").join("postmaster.pid");
        let pid = std::fs::read_to_string(pid).expect("it runs");
        let pid = pid.lines().next().expect("a pid").to_owned();
        run(&format!("kill -QUIT {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.02; done"));
    }

    /// The URL of a database, as the one who owns it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://ada@127.0.0.1:{}/{database}", self.port)
    }

    /// A fresh database, by its URL.
    pub(crate) fn database(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("lake_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Puts a file into the server's directory, for its eyes only.
    pub(crate) fn own_file(&self, name: &str, text: &str) {
        let path = self.directory.join("data").join(name);
        std::fs::write(&path, text).expect("room");
        let path = path.display();
        run(&format!("chmod 600 '{path}'"));
        if !self.as_owner.is_empty() {
            run(&format!("chown postgres: '{path}'"));
        }
    }

    /// Runs SQL, and gives what it says, a row a line.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.sql_as(database, "", sql)
    }

    /// The same over a connection of another kind.
    pub(crate) fn sql_as(&self, database: &str, how: &str, sql: &str) -> String {
        let sql = sql.replace('\'', "'\\''");
        run(&format!(
            "{} -X -q -A -t -v ON_ERROR_STOP=1 -c '{sql}' '{}'",
            binary("psql"),
            self.url(database) + "?" + how
        ))
    }
}

/// The name of the database in a URL.
pub(crate) fn name_of(url: &str) -> &str {
    Path::new(url).file_name().and_then(|name| name.to_str()).expect("a database")
}
