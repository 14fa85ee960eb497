//! Packages of real and of hostile trees, and the documents about them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use ctr_attest::{AttestError, FILE_MAX, PACKAGES_MAX, Subject, cyclonedx, scan, spdx};
use ctr_core::digest::Digest;
use ctr_tree::{Kind, Meta, Tree, TreeError, TreePath};
use serde_json::Value;

/// A directory of the test as a tree.
struct Dir(PathBuf);

impl Dir {
    fn io(action: &'static str, path: &TreePath) -> impl Fn(std::io::Error) -> TreeError {
        move |source| TreeError::Io { action, path: path.clone(), source }
    }
}

impl Tree for Dir {
    fn look(&self, path: &TreePath) -> Result<Option<Meta>, TreeError> {
        let Ok(meta) = fs::symlink_metadata(path.below(&self.0)) else { return Ok(None) };
        let kind = meta.file_type();
        let kind = if kind.is_dir() {
            Kind::Directory
        } else if kind.is_file() {
            Kind::File
        } else if kind.is_symlink() {
            Kind::Symlink
        } else {
            Kind::Fifo
        };
        let (mode, uid, gid, size) = (meta.mode() & 0o7777, meta.uid(), meta.gid(), meta.len());
        let inode = (meta.dev(), meta.ino());
        Ok(Some(Meta { kind, mode, uid, gid, size, mtime: (0, 0), ctime: (0, 0), inode, links: 1, device: (0, 0) }))
    }

    fn list(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Meta)>, TreeError> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path.below(&self.0)).map_err(Self::io("list", path))? {
            let name = entry.map_err(Self::io("list", path))?.file_name().into_vec();
            if let Some(meta) = self.look(&path.join(&name))? {
                entries.push((name, meta));
            }
        }
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(entries)
    }

    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, TreeError> {
        let target = fs::read_link(path.below(&self.0)).map_err(Self::io("read the link", path))?;
        Ok(target.into_os_string().into_vec())
    }

    fn open(&self, path: &TreePath) -> Result<File, TreeError> {
        File::open(path.below(&self.0)).map_err(Self::io("open", path))
    }

    fn attributes(&self, _: &TreePath) -> Result<Vec<(Vec<u8>, Vec<u8>)>, TreeError> {
        Ok(Vec::new())
    }
}

fn write(root: &Path, path: &str, text: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn subject() -> Subject {
    Subject { name: "example".into(), digest: Digest::of(b"manifest"), epoch: 1_700_000_000 }
}

// spec: BUILD-120 BUILD-121
#[test]
fn a_debian_image_has_the_packages_that_dpkg_query_lists() {
    let dir = tempfile::tempdir().unwrap();
    let tar = ctr_tests::images::debian_tar();
    let paths = ["./var/lib/dpkg", "./etc/os-release", "./usr/lib/os-release"];
    let status = Command::new("tar").arg("-C").arg(dir.path()).arg("-xf").arg(tar).args(paths).status().unwrap();
    assert!(status.success());
    let admin = dir.path().join("var/lib/dpkg");
    let query = Command::new("dpkg-query")
        .arg("--admindir")
        .arg(&admin)
        .args(["-W", "-f", "${Package} ${Version} ${Architecture}\n"])
        .output()
        .unwrap();
    let mut expected: Vec<String> = String::from_utf8(query.stdout).unwrap().lines().map(str::to_owned).collect();
    let inventory = scan(&Dir(dir.path().into())).unwrap();
    let mut found: Vec<String> =
        inventory.packages.iter().map(|p| format!("{} {} {}", p.name, p.version, p.arch.as_deref().unwrap())).collect();
    expected.sort();
    found.sort();
    assert!(expected.len() > 50, "{}", expected.len());
    assert_eq!(found, expected);
    assert_eq!(inventory.distribution.as_deref(), Some("debian-12"));
    assert!(
        inventory
            .packages
            .iter()
            .all(|p| p.purl.starts_with("pkg:deb/debian/") && p.purl.ends_with("&distro=debian-12"))
    );
}

const APK: &str = "C:Q1\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\nF:lib\nR:ld-musl-x86_64.so.1\n\nP:busybox\nV:1.36.1-r29\nA:x86_64\nL:GPL-2.0-only\n";

fn alpine(root: &Path) {
    write(root, "usr/lib/apk/db/installed", APK);
    symlink("usr/lib", root.join("lib")).unwrap();
    write(root, "etc/os-release", "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.1\n");
    write(
        root,
        "usr/lib/python3.12/site-packages/My_Pkg-1.dist-info/METADATA",
        "Name: My_Pkg\nVersion: 1.0\nLicense: MIT\n\nName: no\n",
    );
    write(root, "var/lib/rpm/rpmdb.sqlite", "");
}

// spec: BUILD-121 BUILD-122 BUILD-123
#[test]
fn documents_tell_of_each_package_and_of_what_was_not_read() {
    let dir = tempfile::tempdir().unwrap();
    alpine(dir.path());
    let inventory = scan(&Dir(dir.path().into())).unwrap();
    let purls: Vec<&str> = inventory.packages.iter().map(|package| package.purl.as_str()).collect();
    let expected = [
        "pkg:apk/alpine/busybox@1.36.1-r29?arch=x86_64&distro=alpine-3.20.1",
        "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1",
        "pkg:pypi/my-pkg@1.0",
    ];
    assert_eq!(purls, expected);

    let bytes = spdx::document(&inventory, &subject()).unwrap();
    assert_eq!(bytes, spdx::document(&scan(&Dir(dir.path().into())).unwrap(), &subject()).unwrap());
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    assert_eq!(document["dataLicense"], "CC0-1.0");
    assert_eq!(document["creationInfo"]["created"], "2023-11-14T22:13:20Z");
    assert!(document["documentNamespace"].as_str().unwrap().starts_with("urn:uuid:"));
    assert!(document["comment"].as_str().unwrap().contains("/var/lib/rpm"));
    let packages = document["packages"].as_array().unwrap();
    assert_eq!(packages.len(), 4);
    for package in packages {
        for member in ["SPDXID", "name", "downloadLocation"] {
            assert!(package[member].is_string(), "{member}: {package}");
        }
        let id = package["SPDXID"].as_str().unwrap().strip_prefix("SPDXRef-").unwrap();
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)), "{id}");
    }
    assert_eq!(packages[2]["externalRefs"][0]["referenceLocator"], expected[1]);
    let contained = document["relationships"].as_array().unwrap();
    assert_eq!(contained.len(), 4);
    assert_eq!(contained[0]["relationshipType"], "DESCRIBES");

    let bom: Value = serde_json::from_slice(&cyclonedx::document(&inventory, &subject()).unwrap()).unwrap();
    assert_eq!(
        (&bom["bomFormat"], &bom["specVersion"], &bom["version"]),
        (&"CycloneDX".into(), &"1.6".into(), &1.into())
    );
    assert_eq!(bom["serialNumber"].as_str().unwrap().len(), "urn:uuid:".len() + 36);
    assert_eq!(bom["components"].as_array().unwrap().len(), 3);
    assert_eq!(bom["components"][1]["licenses"][0]["license"]["name"], "MIT");
    assert_eq!(bom["metadata"]["component"]["type"], "container");
}

// spec: BUILD-121
#[test]
fn distroless_stanzas_count_and_removed_packages_do_not() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12\nArchitecture: amd64\n");
    write(dir.path(), "var/lib/dpkg/status.d/base.md5sums", "Package: no\nVersion: 1\n");
    let removed =
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: half\nDescription: x\n Version: 9\n";
    write(dir.path(), "var/lib/dpkg/status", removed);
    let inventory = scan(&Dir(dir.path().into())).unwrap();
    assert_eq!(inventory.packages.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["base-files"]);
}

// spec: BUILD-124 LIM-99
#[test]
fn a_hostile_tree_gives_an_error_or_nothing() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "status", "Package: host\nVersion: 1\n");
    let fresh = || tempfile::tempdir().unwrap();
    let status = "var/lib/dpkg/status";
    let packages = |root: &Path| scan(&Dir(root.into())).map(|inventory| inventory.packages.len());

    let noise = fresh();
    write(
        noise.path(),
        status,
        [b"Package: \xff\xfe\nVersion: ::\0\n\n:\n:::\nPackage\nVersion:\n".as_slice(), &[0; 4096]].concat(),
    );
    assert_eq!(packages(noise.path()).unwrap(), 1);

    let links = fresh();
    write(links.path(), "var/lib/dpkg/x", "");
    symlink(outside.path().join("status"), links.path().join(status)).unwrap();
    assert_eq!(packages(links.path()).unwrap(), 0, "an absolute link leads out");
    fs::remove_file(links.path().join(status)).unwrap();
    let up = format!("{}{}", "../".repeat(30), outside.path().join("status").display());
    symlink(up, links.path().join(status)).unwrap();
    assert_eq!(packages(links.path()).unwrap(), 0, "a relative link leads out");
    fs::remove_file(links.path().join(status)).unwrap();
    symlink("status", links.path().join(status)).unwrap();
    assert!(matches!(packages(links.path()), Err(AttestError::Tree(TreeError::Loop(_)))));

    let fifo = fresh();
    fs::create_dir_all(fifo.path().join("var/lib/dpkg")).unwrap();
    assert!(Command::new("mkfifo").arg(fifo.path().join(status)).status().unwrap().success());
    assert_eq!(packages(fifo.path()).unwrap(), 0);

    let large = fresh();
    write(large.path(), status, "");
    File::options().write(true).open(large.path().join(status)).unwrap().set_len(FILE_MAX + 1).unwrap();
    assert!(matches!(packages(large.path()), Err(AttestError::TooLarge(_))));
    assert_eq!(packages(fresh().path()).unwrap(), 0);

    let many = fresh();
    write(many.path(), "lib/apk/db/installed", "P:a\nV:1\n\n".repeat(PACKAGES_MAX + 1));
    assert!(matches!(packages(many.path()), Err(AttestError::TooMany)));
}
