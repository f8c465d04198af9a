//! XRootD 5, over HTTP and HTTPS on one port, with checksums: the grid's own WebDAV server, in a
//! release that reads header names case-sensitively. Open to all, or to bearers of a macaroon.
//!
//! Releases before 5.7 die now and then by themselves (a fault in libXrdUtils, seen with connections
//! that come and go at once), so whoever asks one starts one, and may look whether it still lives.

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Server, authority, free_port, home, open_to_all, program, run, wait_for_port};

/// A running XRootD, ended when it is dropped.
pub(crate) struct Xrootd {
    port: u16,
    server: Option<Server>,
}

impl Drop for Xrootd {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

impl Xrootd {
    /// Starts one that is open to all.
    pub(crate) fn open() -> Self {
        start(false)
    }

    /// Starts one that wants a macaroon.
    pub(crate) fn guarded() -> Self {
        start(true)
    }

    /// Whether it ended by itself.
    pub(crate) fn has_died(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_err()
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its URL over TLS.
    pub(crate) fn tls_url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// A macaroon for everything, good for an hour: one that wants them makes it for the client
    /// certificate.
    pub(crate) fn macaroon(&self) -> String {
        let ca = authority().directory.display();
        let caveats = "activity:DOWNLOAD,UPLOAD,DELETE,LIST,MANAGE,READ_METADATA,UPDATE_METADATA";
        let said = run(&format!(
            "curl -sf --cacert {ca}/ca.pem --cert {ca}/client.crt --key {ca}/client.key -X POST \
             -H 'Content-Type: application/macaroon-request' \
             -d '{{\"caveats\":[\"{caveats}\"],\"validity\":\"PT60M\"}}' {}/",
            self.tls_url()
        ));
        let answer: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        answer["macaroon"].as_str().expect("a macaroon").to_owned()
    }
}

fn start(guarded: bool) -> Xrootd {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let name = format!("x{}", STARTED.fetch_add(1, Ordering::Relaxed));
    let (directory, port) = (home().join(format!("xrootd-{name}")), free_port());
    let data = directory.join("data");
    for path in [&data, &directory.join("admin")] {
        std::fs::create_dir_all(path).expect("a scratch directory");
    }
    let (d, ca) = (directory.display(), authority().directory.display());
    let mut text = format!(
        "all.role server\nall.sitename {name}\nall.export /\noss.localroot {d}/data\nall.adminpath {d}/admin\n\
         all.pidpath {d}/admin\nxrd.port {port}\nxrd.network nodnr\nxrd.sched mint 8 avlt 16 maxt 256\n\
         xrd.protocol XrdHttp:{port} libXrdHttp.so\nxrd.tls {d}/cert.pem {d}/key.pem\n\
         xrd.tlsca certfile {ca}/ca.pem\nhttp.cadir {ca}/certs\nhttp.desthttps false\nhttp.selfhttps2http false\n\
         http.exthandler xrdtpc libXrdHttpTPC.so\nhttp.header2cgi Authorization authz\n\
         xrootd.chksum max 64 chkcgi adler32 crc32 crc32c md5\n"
    );
    if guarded {
        run(&format!("openssl rand -base64 -out {d}/macaroon.key 64"));
        text += &format!(
            "http.exthandler xrdmacaroons libXrdMacaroons.so\nmacaroons.secretkey {d}/macaroon.key\n\
             ofs.authlib libXrdMacaroons.so\nofs.authorize\nacc.authdb {d}/authdb\nhttp.listingdeny no\n"
        );
        let subject = run(&format!("openssl x509 -noout -subject_hash -in {ca}/client.crt"));
        let rights = format!("u * /public rl\nu client / a\nu {}.0 / a\n", subject.trim());
        std::fs::write(directory.join("authdb"), rights).expect("room");
    }
    std::fs::write(directory.join("xrd.cfg"), text).expect("room");
    open_to_all(&directory);
    // It refuses to be root, and its key must be its own.
    run(&format!(
        "chown -R xrootd: {d}; install -o xrootd -m 400 {ca}/server.key {d}/key.pem; \
         install -o xrootd -m 644 {ca}/server.crt {d}/cert.pem"
    ));
    let command = format!("{} -R xrootd -n {name} -c {d}/xrd.cfg -l {d}/xrd.log", program("xrootd"));
    let server = Some(Server::start(&command, &directory.join("xrootd.log")));
    wait_for_port(port, "xrootd");
    Xrootd { port, server }
}
