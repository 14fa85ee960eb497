//! Databases of rpm, made by rpm.

use std::fs;
use std::path::Path;

use crate::scratch::Cmd;

/// Three packages: one of another epoch, one with a header of several pages, and a part of that.
const SPEC: &str = "Name: hello
Version: 1.2
Release: 3.fc40
Epoch: 4
Summary: A package
License: MIT and GPL-2.0-or-later
BuildArch: noarch
%description
A package.
%files

%package -n libhello++
Summary: A part
Version: 1.2~rc1^git5
License: Zlib
%description -n libhello++
LONG
%files -n libhello++

%package devel
Summary: Another part
%description devel
Another part.
%files devel
";

/// Makes the database of an image at `place` (`TREE/var/lib/rpm`), in `SQLite`; `scratch` is an empty directory for what rpm needs to
/// have besides. Returns what rpm says is in it: `NAME EPOCH VERSION RELEASE ARCH LICENCE` for each package, sorted.
pub fn database(scratch: &Path, place: &Path) -> Vec<String> {
    let long: String = (0..400).map(|number| format!("Line {number} of a description that needs room.\n")).collect();
    let spec = scratch.join("hello.spec");
    fs::write(&spec, SPEC.replace("LONG\n", &long)).unwrap();
    fs::create_dir_all(place).unwrap();
    let rpm = |program: &str| {
        let define = |what: &str, value: &str| ["--define".to_owned(), format!("{what} {value}")];
        let top = scratch.display().to_string();
        let command = Cmd::new(program).args(define("_topdir", &top)).args(define("_tmppath", &top));
        command.args(define("_db_backend", "sqlite")).env("HOME", top)
    };
    let database = place.display().to_string();
    rpm("rpm").args(["--initdb", "--dbpath", &database]).ok();
    rpm("rpmbuild").args(["-bb", "--quiet"]).arg(spec).ok();
    let made = scratch.join("RPMS/noarch");
    let files = crate::scratch::names(&made).into_iter().map(|name| made.join(name));
    rpm("rpm").args(["-i", "--justdb", "--nodeps", "--dbpath", &database]).args(files).ok();
    let format = "%{NAME} %{EPOCH} %{VERSION} %{RELEASE} %{ARCH} %{LICENSE}\\n";
    let said = rpm("rpm").args(["-qa", "--dbpath", &database, "--queryformat", format]).ok();
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
