//! XRootD as the grid runs it: HTTP and TLS on one port, checksums, copies within itself. It
//! lets everybody in.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::OnceLock;

use super::{Certificates, Server, free_port, scratch};

pub(crate) struct Xrootd {
    pub(crate) port: u16,
    _server: Server,
}

impl Xrootd {
    /// The only one.
    pub(crate) fn get() -> &'static Self {
        static XROOTD: OnceLock<Xrootd> = OnceLock::new();
        XROOTD.get_or_init(Self::start)
    }

    /// The URL of its root.
    pub(crate) fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// The same by TLS.
    pub(crate) fn tls(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn start() -> Self {
        let (directory, certificates, port) = (scratch(), Certificates::get(), free_port());
        let root = directory.path().display().to_string();
        let ca = certificates.path("ca.pem");
        let ca_directory = certificates.path("certs");
        let settings = format!(
            "all.role server
all.export /
oss.localroot {root}/data
all.adminpath {root}/admin
all.pidpath {root}/admin
xrd.port {port}
xrd.network nodnr
xrd.protocol XrdHttp:{port} libXrdHttp.so
xrd.tls {root}/cert.pem {root}/key.pem
xrd.tlsca certfile {ca}
http.cadir {ca_directory}
http.desthttps false
http.selfhttps2http false
http.exthandler xrdtpc libXrdHttpTPC.so
http.header2cgi Authorization authz
xrootd.chksum max 2 chkcgi adler32 crc32 crc32c md5
"
        );
        std::fs::write(directory.path().join("settings"), settings).expect("writable");
        let script = "set -e
mkdir data admin
cp \"$1\" cert.pem
cp \"$2\" key.pem
chown -R xrootd: .
chmod 400 key.pem";
        let files = ["server.crt", "server.key"].map(|name| certificates.path(name));
        let made = Command::new("sh").args(["-c", script, "sh"]).args(files).current_dir(directory.path()).output();
        let made = made.expect("a shell");
        assert!(made.status.success(), "xrootd-server is not here, or this is not root: {made:?}");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), mode).expect("this is root");
        let (file, log) = (format!("{root}/settings"), format!("{root}/log"));
        // It refuses to run as root.
        let arguments = ["-R", "xrootd", "-n", "test", "-c", &file, "-l", &log];
        let server = Server::start("xrootd", &arguments, directory, &[port]);
        Self { port, _server: server }
    }
}
