//! Every image file of spec/vectors/image-files.json through `ctr-fetch`.

use ctr_tests::image_files::{self, ImageFile};
use ctr_tests::scratch::{Root, names};

#[test]
fn image_files_are_taken_or_refused() {
    ctr_tests::need!(root);
    let files = image_files::all();
    let failed: Vec<String> = files
        .iter()
        .filter_map(|file| check(file).err().map(|why| format!("{} ({}): {why}", file.name, file.about)))
        .collect();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), files.len(), failed.join("\n"));
}

fn check(file: &ImageFile) -> Result<(), String> {
    // A layer that the store has already would not be read.
    let root = Root::new();
    let path = root.write(&format!("{}.tar", file.name), &file.bytes);
    let source = match &file.tag {
        Some(tag) => format!("oci-archive:{}:{tag}", path.display()),
        None => path.display().to_string(),
    };
    let name = format!("vector/{}", file.name);
    let done = root.ctr("fetch").args(["-q", "--name", &name, &source]).run();
    let known = root.ctr("image").args(["inspect", &name]).run().code == 0;
    match &file.error {
        None if done.code == 0 && known => Ok(()),
        None => Err(format!("not taken: {done}")),
        Some(_) if done.code == 0 || known => Err(format!("taken: {done}")),
        Some(_) if !names(&root.store().join("images")).is_empty() => Err("left an image".to_owned()),
        Some(part) if done.code == 1 && done.stderr.contains(part) => Ok(()),
        Some(part) => Err(format!("refused without \"{part}\", or not with 1: {done}")),
    }
}
