//! Ceph's S3 gateway on a cluster of one monitor and one store, with and without TLS.

use std::path::Path;
use std::sync::OnceLock;

use super::{Server, authority, free_port, home, program, run, wait_for_port};

/// A running gateway.
pub(crate) struct Radosgw {
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    pub(crate) key: &'static str,
    pub(crate) secret: &'static str,
    configuration: String,
}

impl Radosgw {
    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its URL over TLS.
    pub(crate) fn tls_url(&self) -> String {
        format!("https://localhost:{}", self.tls_port)
    }

    /// Runs its administrator's tool.
    pub(crate) fn admin(&self, arguments: &str) -> String {
        run(&format!("{} -c {} -n client.rgw.a {arguments}", program("radosgw-admin"), self.configuration))
    }
}

/// The gateway, started when first asked for.
pub(crate) fn radosgw() -> &'static Radosgw {
    static RADOSGW: OnceLock<Radosgw> = OnceLock::new();
    RADOSGW.get_or_init(|| {
        let directory = home().join("ceph");
        let monitor = (free_port(), free_port());
        let (port, tls_port) = (free_port(), free_port());
        configure(&directory, monitor, port, tls_port);
        let configuration = directory.join("ceph.conf").display().to_string();
        let at = |name: &str| directory.join(name).display().to_string();
        let start = |name: &str, arguments: &str| {
            let command = format!("{} -c {configuration} {arguments} -f", program(name));
            Server::start(&command, &directory.join(format!("{name}.log"))).keep();
        };
        start("ceph-mon", "-i a");
        wait_for_port(monitor.0, "ceph-mon");
        let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("this is Linux");
        run(&format!("timeout 60 ceph -c {configuration} osd new {} 0", id.trim()));
        run(&format!("ceph-osd -c {configuration} -i 0 --mkfs --osd-uuid {} >{} 2>&1", id.trim(), at("mkfs.log")));
        start("ceph-osd", "-i 0");
        run(&format!(
            "for _ in $(seq 240); do ceph -c {configuration} osd stat 2>/dev/null | grep -q '1 up' && exit 0; \
             sleep .5; done; exit 1"
        ));
        start("radosgw", "-n client.rgw.a");
        wait_for_port(port, "radosgw");
        let this = Radosgw { port, tls_port, key: "dappletest", secret: "dapple-test-only", configuration };
        let user = format!("--uid=lake --display-name=lake --access-key={} --secret={}", this.key, this.secret);
        this.admin(&format!("user create {user}"));
        this
    })
}

fn configure(directory: &Path, monitor: (u16, u16), port: u16, tls_port: u16) {
    for name in ["mon", "osd", "run", "log", "rgw"] {
        std::fs::create_dir_all(directory.join(name)).expect("a scratch directory");
    }
    program("ceph-mon");
    let (d, ca) = (directory.display(), authority().directory.display());
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("this is Linux");
    let addresses = format!("v2:127.0.0.1:{},v1:127.0.0.1:{}", monitor.0, monitor.1);
    let text = format!(
        "[global]\nfsid = {id}\nmon host = [{addresses}]\nmon auth allow insecure global id reclaim = false\n\
         public addr = 127.0.0.1\nms bind msgr2 = true\nmon allow pool size one = true\n\
         mon warn on pool no redundancy = false\nmon_data_avail_crit = 1\nosd pool default size = 1\n\
         osd pool default min size = 1\nosd pool default pg num = 8\nosd crush chooseleaf type = 0\n\
         mon max pg per osd = 1000\nosd objectstore = bluestore\nbluestore block size = 32212254720\n\
         bluestore fsck quick fix on mount = false\nosd memory target = 939524096\n\
         run dir = {d}/run\nadmin socket = {d}/run/$name.asok\nlog file = {d}/log/$name.log\n\
         keyring = {d}/keyring\n[mon.a]\nmon data = {d}/mon\n[osd.0]\nosd data = {d}/osd\n\
         [client.rgw.a]\nrgw frontends = beast endpoint=127.0.0.1:{port} ssl_endpoint=127.0.0.1:{tls_port} \
         ssl_certificate={ca}/server.crt ssl_private_key={ca}/server.key\nrgw thread pool size = 64\n\
         rgw data = {d}/rgw\nrgw enable usage log = false\n"
    );
    std::fs::write(directory.join("ceph.conf"), text).expect("room");
    // Without keys of all, the second connection of the gateway hangs for ever in this release.
    run(&format!(
        "cd {d} && ceph-authtool --create-keyring keyring --gen-key -n mon. --cap mon 'allow *' && \
         ceph-authtool keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' && \
         ceph-authtool keyring --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow *' && \
         ceph-authtool keyring --gen-key -n client.rgw.a --cap mon 'allow rw' --cap osd 'allow rwx' --cap mgr 'allow rw' && \
         monmaptool --create --fsid {id} --addv a '[{addresses}]' monmap --clobber && \
         ceph-mon -c ceph.conf --mkfs -i a --monmap monmap --keyring keyring",
        id = id.trim()
    ));
}
