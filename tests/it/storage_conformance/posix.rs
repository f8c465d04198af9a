//! What only a file system can get wrong: links, strange files, missing roots, devices, rights.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use dapple::model::id::IntentId;
use dapple::storage::backend::{Backend, CHUNK_BYTES_MAX, Overwrite};
use dapple::storage::posix::Posix;
use futures::StreamExt;

use super::world::{PUT, World, chunks, code, path, pattern, whole};

const OUTSIDE: &str = "storage-outside-root";

#[tokio::test]
async fn links_that_lead_out_are_refused() {
    for world in [World::posix(), World::posix_without_openat2()] {
        let elsewhere = tempfile::tempdir().expect("a scratch directory");
        let secret = elsewhere.path().join("secret");
        std::fs::write(&secret, "secret").expect("writable");
        symlink(&secret, world.root().join("file")).expect("linked");
        symlink(elsewhere.path(), world.root().join("dir")).expect("linked");
        symlink("../../..", world.root().join("up")).expect("linked");
        symlink("/proc/self/root", world.root().join("magic")).expect("linked");

        let through = secret.strip_prefix("/").expect("absolute").display().to_string();
        for led in ["file".to_owned(), "dir/secret".to_owned(), format!("up/{through}"), format!("magic/{through}")] {
            let led = path(&led);
            assert_eq!(code(world.store.stat(&led).await), OUTSIDE, "{led}");
            assert_eq!(code(world.get(&led).await), OUTSIDE, "{led}");
            assert_eq!(code(world.store.delete(&led).await), OUTSIDE, "{led}");
        }
        let into = path("dir/new");
        assert_eq!(code(world.store.stage(&into, PUT, 1, chunks(b"x", 1)).await), OUTSIDE);
        assert_eq!(code(world.store.publish(&into, PUT, Overwrite::Replace).await), OUTSIDE);
        assert_eq!(code(world.store.discard(&into, PUT).await), OUTSIDE);

        let over = path("file");
        world.stage(&over, PUT, b"x").await;
        assert_eq!(code(world.store.publish(&over, PUT, Overwrite::Refuse).await), "storage-exists");
        assert_eq!(code(world.store.publish(&over, PUT, Overwrite::Replace).await), OUTSIDE);
        world.store.discard(&over, PUT).await.expect("ours");
        assert_eq!(std::fs::read_to_string(&secret).expect("intact"), "secret");
        assert_eq!(std::fs::read_dir(elsewhere.path()).expect("there").count(), 1);
        assert!(world.paths().await.is_empty(), "links are not listed");
    }
}

#[tokio::test]
async fn a_link_under_the_temporary_name_is_replaced_not_followed() {
    let world = World::posix();
    let elsewhere = tempfile::NamedTempFile::new().expect("a scratch file");
    symlink(elsewhere.path(), world.root().join(path("a").temporary(PUT))).expect("linked");
    assert_eq!(code(world.get_staged(&path("a"), PUT).await), OUTSIDE);
    world.put(&path("a"), b"content").await;
    assert_eq!(world.get(&path("a")).await.expect("there"), b"content");
    assert_eq!(std::fs::read(elsewhere.path()).expect("there"), b"");
}

#[tokio::test]
async fn links_that_stay_inside_are_followed_for_reading_alone() {
    let world = World::posix();
    world.put(&path("real/file"), b"content").await;
    symlink("real", world.root().join("dir")).expect("linked");
    symlink("real/file", world.root().join("file")).expect("linked");
    for inward in ["dir/file", "file"].map(path) {
        assert_eq!(world.get(&inward).await.expect("readable"), b"content");
        assert_eq!(world.store.stat(&inward).await.expect("there").bytes, 7);
        assert_eq!(code(world.store.delete(&inward).await), OUTSIDE);
    }
    assert_eq!(code(world.store.stage(&path("dir/x"), PUT, 1, chunks(b"x", 1)).await), OUTSIDE);
    assert_eq!(world.paths().await, ["real/file"]);
}

#[tokio::test]
async fn what_is_no_regular_file_is_no_object() {
    let world = World::posix();
    world.put(&path("dir/file"), b"1").await;
    let fifo = world.root().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    let _socket = std::os::unix::net::UnixListener::bind(world.root().join("socket")).expect("bound");
    for strange in ["dir", "fifo", "socket", "dir/file/below"].map(path) {
        assert_eq!(code(world.store.stat(&strange).await), OUTSIDE, "{strange}");
        assert_eq!(code(world.get(&strange).await), OUTSIDE, "{strange}");
        assert_eq!(code(world.store.delete(&strange).await), OUTSIDE, "{strange}");
    }
    assert_eq!(code(world.store.stage(&path("dir/file/x"), PUT, 1, chunks(b"x", 1)).await), OUTSIDE);
    let over = path("dir");
    world.stage(&over, PUT, b"x").await;
    assert_eq!(code(world.store.publish(&over, PUT, Overwrite::Refuse).await), "storage-exists");
    assert_eq!(code(world.store.publish(&over, PUT, Overwrite::Replace).await), OUTSIDE);
    world.store.discard(&over, PUT).await.expect("ours");
    let long = path(&"x".repeat(256));
    assert_eq!(code(world.store.stage(&long, PUT, 1, chunks(b"x", 1)).await), OUTSIDE);
    assert_eq!(world.paths().await, ["dir/file"]);
}

#[tokio::test]
async fn a_name_that_is_not_text_is_reported_and_the_list_goes_on() {
    use std::os::unix::ffi::OsStrExt as _;
    let world = World::posix();
    world.put(&path("a"), b"1").await;
    world.put(&path("z"), b"2").await;
    let strange = std::ffi::OsStr::from_bytes(b"m\xff");
    std::fs::write(world.root().join(strange), "").expect("writable");
    let items: Vec<_> = world.store.list().collect().await;
    assert_eq!(items.iter().filter(|item| item.is_ok()).count(), 2);
    let error = items.into_iter().find_map(Result::err).expect("reported");
    assert_eq!(error.to_string(), "storage failed at `m\u{fffd}`: its name is not UTF-8");
}

#[tokio::test]
async fn a_root_may_be_missing_and_come_back() {
    for made in [Posix::new, Posix::without_openat2] {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let root = scratch.path().join("root");
        let store = made(root.clone());
        std::fs::write(&root, "a file is no root").expect("writable");
        for _ in 0..2 {
            let path = path("a/b");
            assert_eq!(code(store.stat(&path).await), "storage-no-root");
            assert_eq!(code(store.read(&path, None).await), "storage-no-root");
            assert_eq!(code(store.stage(&path, PUT, 1, chunks(b"x", 1)).await), "storage-no-root");
            assert_eq!(code(store.publish(&path, PUT, Overwrite::Refuse).await), "storage-no-root");
            assert_eq!(code(store.discard(&path, PUT).await), "storage-no-root");
            assert_eq!(code(store.delete(&path).await), "storage-no-root");
            assert_eq!(code(store.room().await), "storage-no-root");
            assert_eq!(code(store.probe().await), "storage-no-root");
            let items: Vec<_> = store.list().collect().await;
            assert!(items.len() == 1 && items[0].is_err());
            let _ = std::fs::remove_file(&root);
        }
        std::fs::create_dir(&root).expect("writable");
        store.probe().await.expect("it is back");
    }
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_never_silently_short() {
    let world = World::posix();
    world.put(&path("a"), &pattern(8 * CHUNK_BYTES_MAX)).await;
    let mut content = world.store.read(&path("a"), None).await.expect("there");
    content.next().await.expect("a chunk").expect("readable");
    let file = std::fs::File::options().write(true).open(world.root().join("a"));
    file.expect("there").set_len(5 * CHUNK_BYTES_MAX as u64 + 5).expect("writable");
    assert_eq!(code(whole(content).await), "storage-wrong-length");

    let copied = world.store.stage_copy(&path("b"), PUT, 8 << 20, &*world.store, &path("a")).await;
    assert_eq!(code(copied), "storage-wrong-length");
    assert_eq!(world.paths().await, ["a"]);
}

#[tokio::test]
async fn a_copy_is_made_by_the_kernel_and_is_another_inode() {
    let (source, destination) = (World::posix(), World::posix());
    let content = pattern(70 << 20);
    source.put(&path("a/b"), &content).await;
    let (from, to) = (path("a/b"), path("c/d"));
    let copied = destination.store.stage_copy(&to, PUT, content.len() as u64, &*source.store, &from).await;
    let staged = copied.expect("both are there").expect("one file system");
    assert_eq!(staged.bytes, content.len() as u64);
    destination.store.publish(&path("c/d"), PUT, Overwrite::Refuse).await.expect("free");
    assert!(destination.get(&path("c/d")).await.expect("there") == content);
    let inode = |file: PathBuf| std::fs::metadata(file).expect("there");
    let (from, to) = (inode(source.root().join("a/b")), inode(destination.root().join("c/d")));
    assert_ne!((from.dev(), from.ino()), (to.dev(), to.ino()));
    assert_eq!((from.nlink(), to.nlink(), to.mode() & 0o777), (1, 1, 0o644));

    let missing = destination.store.stage_copy(&path("x"), PUT, 1, &*source.store, &path("no")).await;
    assert_eq!(code(missing), "storage-not-found");
    assert_eq!(destination.paths().await, ["c/d"]);
}

#[tokio::test]
async fn between_file_systems_a_copy_is_whole_or_left_to_the_caller() {
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        println!("skipped: no second file system");
        return;
    };
    let world = World::posix();
    let other = Posix::new(elsewhere.path().to_owned());
    let content = pattern(3_000_000);
    world.put(&path("a"), &content).await;
    let copied = other.stage_copy(&path("b/c"), PUT, content.len() as u64, &*world.store, &path("a")).await;
    match copied.expect("both are there") {
        Some(_) => assert!(
            whole(other.read_staged(&path("b/c"), PUT).await.expect("staged").content).await.expect("readable")
                == content
        ),
        None => assert_eq!(std::fs::read_dir(elsewhere.path()).expect("there").count(), 0, "nothing is left"),
    }
}

/// A file system of one MiB, unmounted when dropped.
struct TinyDevice(tempfile::TempDir);

impl TinyDevice {
    fn mount() -> Option<Self> {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let arguments = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];
        let mounted = Command::new("mount").args(arguments).arg(scratch.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(scratch))
    }
}

impl Drop for TinyDevice {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn a_full_device_says_so_and_keeps_nothing_of_the_attempt() {
    let Some(device) = TinyDevice::mount() else {
        println!("skipped: mounting a tmpfs takes root");
        return;
    };
    let store = Posix::new(device.0.path().to_owned());
    let room = store.room().await.expect("mounted").expect("known");
    assert_eq!((room.total_bytes, room.free_bytes), (1 << 20, 1 << 20));
    // The first is reserved at once, the second found out by writing.
    for bytes in [3 << 20, 1 << 20] {
        let taken = if bytes == 1 << 20 { 600_000 } else { 0 };
        if taken > 0 {
            store.stage(&path("first"), IntentId(2), taken, chunks(&pattern(600_000), 100_000)).await.expect("fits");
        }
        let content = chunks(&pattern(bytes), 100_000);
        assert_eq!(code(store.stage(&path("a/b"), PUT, bytes as u64, content).await), "storage-full");
        assert!(!device.0.path().join("a").exists());
    }
    store.discard(&path("first"), IntentId(2)).await.expect("mounted");
    let room = store.room().await.expect("mounted").expect("known");
    assert_eq!(room.free_bytes, 1 << 20);
}

/// Root may do anything, so the test runs itself again as nobody.
#[tokio::test]
async fn what_the_system_forbids_is_denied() {
    const ROOT: &str = "DAPPLE_TEST_FORBIDDEN_ROOT";
    if let Some(root) = std::env::var_os(ROOT) {
        return assert_denied(Path::new(&root)).await;
    }
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let open_to = |mode, path: PathBuf| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    std::fs::create_dir(scratch.path().join("closed")).expect("writable");
    std::fs::write(scratch.path().join("closed/file"), "x").expect("writable");
    std::fs::write(scratch.path().join("secret"), "x").expect("writable");
    open_to(0o000, scratch.path().join("secret")).expect("ours");
    open_to(0o000, scratch.path().join("closed")).expect("ours");
    open_to(0o555, scratch.path().to_owned()).expect("ours");

    let own = std::env::current_exe().expect("this binary");
    let name = "storage_conformance::posix::what_the_system_forbids_is_denied";
    let mut command = Command::new(own);
    command.args(["--exact", name, "--nocapture"]).env(ROOT, scratch.path());
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        }
        Err(error) => println!("skipped: nobody may not run this binary: {error}"),
    }
    open_to(0o755, scratch.path().to_owned()).expect("ours");
    open_to(0o755, scratch.path().join("closed")).expect("ours");
}

async fn assert_denied(root: &Path) {
    const DENIED: &str = "storage-denied";
    let store = Posix::new(root.to_owned());
    assert_eq!(code(store.probe().await), DENIED);
    assert_eq!(code(store.stage(&path("a"), PUT, 1, chunks(b"x", 1)).await), DENIED);
    assert_eq!(code(store.stage(&path("a/b"), PUT, 1, chunks(b"x", 1)).await), DENIED);
    assert_eq!(code(store.read(&path("secret"), None).await), DENIED);
    assert_eq!(code(store.delete(&path("secret")).await), DENIED);
    assert_eq!(code(store.stat(&path("closed/file")).await), DENIED);
    assert_eq!(store.stat(&path("secret")).await.expect("its length is no secret").bytes, 1);
    let items: Vec<_> = store.list().collect().await;
    assert_eq!(items.iter().filter(|item| item.is_ok()).count(), 1);
    let denied: Vec<_> = items.into_iter().filter(Result::is_err).map(code).collect();
    assert_eq!(denied, [DENIED]);
}
