//! Bills of materials of images that `ctr-build` makes, read by programs that others wrote.

use std::fs;
use std::path::{Path, PathBuf};

use ctr_tests::bins;
use ctr_tests::build::Builder;
use ctr_tests::need;
use ctr_tests::scratch::Cmd;
use ctr_tests::skip::skip;
use serde_json::Value;

/// What checks the documents: SPDX's own library, and CycloneDX's with its schemas.
const VALIDATORS: [&str; 2] = ["spdx-tools==0.8.5", "cyclonedx-python-lib[json-validation]==11.12.0"];

/// Prints what is wrong with an SPDX document and a CycloneDX one, and each package URL of them as another library writes it.
const VALIDATE: &str = r#"
import json, sys
from packageurl import PackageURL
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

spdx, bom = sys.argv[1:]
for message in validate_full_spdx_document(parse_file(spdx), "SPDX-2.3"):
    print("spdx:", message.validation_message, message.context.spdx_id)
text = open(bom).read()
wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
if wrong:
    print("cyclonedx:", wrong)
for one in json.loads(text)["components"]:
    purl = PackageURL.from_string(one["purl"])
    # The specification has / in values of qualifiers as %2F, and the library takes that and does not write it.
    before, mark, qualifiers = purl.to_string().partition("?")
    written = before + mark + qualifiers.replace("/", "%2F")
    if written != one["purl"]:
        print("purl:", one["purl"], "is", written)
    print("package", purl.type, purl.namespace, purl.name, purl.version)
"#;

/// Where the validators are; `None` if they cannot be had.
fn validators() -> Option<PathBuf> {
    let place = bins::work_dir().join("sbom-validators-1");
    bins::once(&place, |half| {
        let install =
            ["-m", "pip", "install", "--quiet", "--retries=1", "--timeout=15", "--only-binary", ":all:", "--target"];
        let done = Cmd::new("python3").args(install).arg(half).args(VALIDATORS).run();
        if done.code != 0 {
            eprintln!("{done}");
        }
        // What is there half says that it cannot be had, until the caller removes it.
        fs::create_dir_all(half).unwrap();
        if done.code == 0 {
            fs::write(half.join("complete"), "").unwrap();
        }
    });
    if place.join("complete").exists() {
        return Some(place);
    }
    fs::remove_dir_all(&place).ok();
    None
}

/// What the library says of both documents, line by line.
fn validate(validators: &Path, spdx: &Path, bom: &Path) -> Vec<String> {
    let command = Cmd::new("python3").args(["-B", "-c", VALIDATE]).arg(spdx).arg(bom);
    command.env("PYTHONPATH", validators).ok().lines().map(str::to_owned).collect()
}

/// The documents that are stored with an image: SPDX, CycloneDX.
fn documents(builder: &Builder, image: &str) -> [PathBuf; 2] {
    let store = builder.root.store();
    let hex = |digest: &str| digest.trim().trim_start_matches("sha256:").to_owned();
    let blob = |digest: &Value| store.join("blobs/sha256").join(hex(digest.as_str().unwrap()));
    let json = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let referrers = json(store.join("referrers").join(hex(image)));
    ["application/spdx+json", "application/vnd.cyclonedx+json"].map(|kind| {
        let mut manifests = referrers["manifests"].as_array().unwrap().iter().map(|entry| json(blob(&entry["digest"])));
        let manifest = manifests.find(|manifest| manifest["artifactType"] == kind).unwrap();
        let document = blob(&manifest["layers"][0]["digest"]);
        // By their names the library tells formats apart.
        let named = builder.root.file(&format!("{}.json", if kind.contains("spdx") { "a.spdx" } else { "a.cdx" }));
        fs::copy(document, &named).unwrap();
        named
    })
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

// spec: BUILD-116 BUILD-121 BUILD-122 BUILD-123 BUILD-128 BUILD-129
#[test]
fn documents_are_what_their_formats_say_and_name_what_is_there() {
    need!(root, "rpm", "rpmbuild", "python3");
    let builder = Builder::new();
    let dir = builder.root.file("context");
    fs::create_dir_all(builder.root.file("scratch")).unwrap();
    ctr_tests::rpm::database(&builder.root.file("scratch"), &dir.join("rpm"));
    for (path, text) in [
        (
            "Dockerfile",
            "FROM base/busybox:1\nCOPY rpm /usr/lib/sysimage/rpm\nCOPY os-release /etc/os-release\nCOPY app /srv/app\nCOPY installed /lib/apk/db/\nCOPY status /var/lib/dpkg/\nRUN mkdir -p /var/lib/pacman/local\n",
        ),
        ("os-release", "ID=fedora\nVERSION_ID=40\n"),
        ("installed", "P:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\n"),
        ("status", "Package: libstdc++6\nStatus: install ok installed\nVersion: 1:12.2.0-14+b1\nArchitecture: amd64\n"),
        (
            "app/Cargo.lock",
            "[[package]]\nname = \"adler2\"\nversion = \"2.0.1+a\"\nsource = \"git+https://example.org/a?tag=v1#0123\"\n",
        ),
        (
            "app/package-lock.json",
            "{\"lockfileVersion\":3,\"packages\":{\"node_modules/@types/node\":{\"version\":\"20.1.0\",\"license\":\"MIT\"}}}",
        ),
        ("app/yarn.lock", "# yarn lockfile v1\n\nleft-pad@1:\n  version \"1.3.0\"\n"),
        ("app/uv.lock", "[[package]]\nname = \"zope.interface\"\nversion = \"7.0\"\n"),
        ("app/go.mod", "module m\nrequire golang.org/x/sys v0.20.0\n"),
        ("app/Gemfile.lock", "GEM\n  specs:\n    nokogiri (1.16.5-x86_64-linux)\n"),
        (
            "app/composer.lock",
            "{\"packages\":[{\"name\":\"a/b\",\"version\":\"v1\",\"license\":[\"MIT\",\"proprietary\"]}]}",
        ),
        ("app/requirements.txt", "flask==3.0.3\n"),
        ("app/wrong/poetry.lock", "[[package\n"),
    ] {
        write(&dir, path, text);
    }
    let image = builder.ctr("build").args(["--pull=never", "--quiet", "--sbom=spdx,cyclonedx"]).arg(&dir).ok();
    let [spdx, bom] = documents(&builder, &image);
    let document: Value = serde_json::from_slice(&fs::read(&spdx).unwrap()).unwrap();
    let hello = document["packages"].as_array().unwrap().iter().find(|package| package["name"] == "hello").unwrap();
    assert_eq!(hello["versionInfo"], "4:1.2-3.fc40");
    let comment = document["comment"].as_str().unwrap();
    for said in ["/srv/app/wrong/poetry.lock", "/var/lib/pacman/local"] {
        assert!(comment.contains(said), "{comment}");
    }
    let Some(validators) = validators() else {
        return skip("no validators of bills of materials: pip cannot install them");
    };
    let lines = validate(&validators, &spdx, &bom);
    let wrong: Vec<&String> = lines.iter().filter(|line| !line.starts_with("package ")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let expected = [
        "apk fedora musl 1.2.5-r0",
        "cargo None adler2 2.0.1+a",
        "composer a b v1",
        "deb fedora libstdc++6 1:12.2.0-14+b1",
        "gem None nokogiri 1.16.5",
        "golang golang.org/x sys v0.20.0",
        "npm @types node 20.1.0",
        "npm None left-pad 1.3.0",
        "pypi None flask 3.0.3",
        "pypi None zope-interface 7.0",
        "rpm fedora hello 1.2-3.fc40",
        "rpm fedora hello-devel 1.2-3.fc40",
        "rpm fedora libhello++ 1.2~rc1^git5-3.fc40",
    ];
    let mut packages: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("package ")).collect();
    packages.sort_unstable();
    assert_eq!(packages, expected);

    // They do find what is wrong.
    let text = fs::read_to_string(&spdx).unwrap().replace("\"CONTAINS\"", "\"CONTAINS_NONE\"");
    let wrong = fs::read_to_string(&bom).unwrap().replace("\"library\"", "\"librarian\"");
    write(&dir, "b.spdx.json", &text.replace("CONTAINS_NONE", "CONTAINS").replace("SPDXRef-Image", "SPDXRef-No_t"));
    write(&dir, "b.cdx.json", &wrong);
    let lines = validate(&validators, &dir.join("b.spdx.json"), &dir.join("b.cdx.json"));
    assert!(["spdx:", "cyclonedx:"].iter().all(|of| lines.iter().any(|line| line.starts_with(of))), "{lines:#?}");
}
