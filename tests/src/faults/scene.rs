//! One server with the sample, one empty store, and `ctr-fetch` between them, without anything of the caller's.

use std::fs;

use super::{Registry, Sample, Server, sample};
use crate::oci::digest;
use crate::scratch::{Cmd, Root, names};
use crate::store_check;

/// For tests in which a server goes silent: it is given up soon.
pub const HASTY: [&str; 6] = ["--connect-timeout", "10s", "--idle-timeout", "600ms", "--retries", "2"];
/// For all others: also on a machine that does many other things, nobody is given up.
pub const PATIENT: [&str; 6] = ["--connect-timeout", "30s", "--idle-timeout", "30s", "--retries", "2"];

/// Server, store, and what is between them.
pub struct Scene {
    /// The image.
    pub image: Sample,
    /// Has the image as `demo:1`.
    pub server: Server,
    /// Where it goes to.
    pub root: Root,
}

impl Scene {
    /// With an ordinary registry.
    pub fn new() -> Self {
        let image = sample();
        Self::of(Server::start(Registry::with("demo", "1", image.layout())))
    }

    /// With this server.
    pub fn of(server: Server) -> Self {
        let root = Root::new();
        fs::create_dir(root.file("home")).expect("directory");
        Self { image: sample(), server, root }
    }

    /// `ctr-NAME` with nothing of the caller's configuration, and with patience. `ctr-fetch` asks for the image alone.
    pub fn ctr(&self, name: &str) -> Cmd {
        let more = (name == "fetch").then_some("--no-referrers");
        self.own(name).args(PATIENT).args(more)
    }

    /// `ctr-fetch` of `demo:1`.
    pub fn fetch(&self) -> Cmd {
        self.ctr("fetch").arg(self.server.name("demo:1"))
    }

    /// The same with little patience.
    pub fn fetch_hastily(&self) -> Cmd {
        self.own("fetch").args(HASTY).arg("--no-referrers").arg(self.server.name("demo:1"))
    }

    /// `ctr-NAME` with nothing of the caller's configuration.
    pub fn own(&self, name: &str) -> Cmd {
        let empty = self.root.file("registries.conf");
        if !empty.exists() {
            fs::write(&empty, "").expect("write");
        }
        let cmd = self.root.ctr(name).env("HOME", self.root.file("home"));
        cmd.env("CONTAINERS_REGISTRIES_CONF", empty).env("XDG_RUNTIME_DIR", self.root.file("home"))
    }

    /// What registries.conf says.
    pub fn configure(&self, registries: &str) {
        fs::write(self.root.file("registries.conf"), registries).expect("write");
    }

    /// Asserts that the store has the image, whole, and nothing half.
    #[track_caller]
    pub fn assert_whole(&self) {
        let store = self.root.store();
        assert_eq!(store_check::complaints(&store), Vec::<String>::new());
        let refs = store_check::refs(&store);
        assert_eq!(refs.values().collect::<Vec<_>>(), [self.image.digest()]);
        self.assert_no_staging();
        assert_eq!(self.partial(), Vec::<String>::new());
    }

    /// Asserts that the store has no image, and nothing that is wrong; layers that were right may be there.
    #[track_caller]
    pub fn assert_no_image(&self) {
        let store = self.root.store();
        assert_eq!(store_check::complaints(&store), Vec::<String>::new());
        for place in ["refs", "images"] {
            assert_eq!(names(&store.join(place)), Vec::<String>::new(), "{place}");
        }
        self.assert_no_staging();
    }

    /// Asserts that the store has nothing that a reader sees, and that half a download is the beginning of its blob.
    #[track_caller]
    pub fn assert_nothing(&self) {
        let store = self.root.store();
        for place in ["refs", "images", "layers", "blobs/sha256"] {
            assert_eq!(names(&store.join(place)), Vec::<String>::new(), "{place}");
        }
        self.assert_no_staging();
        for name in self.partial() {
            let begun = fs::read(store.join("partial").join(&name)).expect("partial");
            let whole = self.image.blob(&format!("sha256:{name}"));
            assert!(whole.starts_with(&begun), "{name} is no beginning: {} of {} bytes", begun.len(), whole.len());
        }
    }

    /// The same after a process was killed: what it left is the collector's.
    #[track_caller]
    pub fn assert_whole_after_kill(&self) {
        self.root.ctr("gc").ok();
        self.assert_whole();
    }

    #[track_caller]
    fn assert_no_staging(&self) {
        assert_eq!(names(&self.root.store().join("tmp")), Vec::<String>::new(), "staging");
    }

    /// The digests (hexadecimal) of what is half there.
    pub fn partial(&self) -> Vec<String> {
        names(&self.root.store().join("partial"))
    }

    /// Bytes that are there of the big layer.
    pub fn begun(&self) -> u64 {
        let path = self.root.store().join("partial").join(self.image.big().trim_start_matches("sha256:"));
        fs::metadata(path).map_or(0, |found| found.len())
    }

    /// Where the ranges began that were asked for of the big layer; `None`: the whole.
    pub fn ranges(&self) -> Vec<Option<u64>> {
        let start = |text: String| text.strip_prefix("bytes=")?.split('-').next()?.parse().ok();
        let seen = self.server.seen_of("GET", self.image.big());
        seen.iter().map(|seen| seen.request.header("range").map(|text| start(text).expect("a range"))).collect()
    }

    /// Puts a manifest (any bytes) with this media type under `demo:TAG` and returns its digest.
    pub fn manifest(&self, tag: &str, media_type: &str, bytes: impl Into<Vec<u8>>) -> String {
        let bytes = bytes.into();
        let digest = digest(&bytes);
        self.server.site().put_manifest("demo", media_type, bytes);
        self.server.site().tag("demo", tag, &digest);
        digest
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}
