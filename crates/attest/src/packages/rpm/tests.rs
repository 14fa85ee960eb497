#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "test code")]

use std::io::Cursor;

use super::*;

const PAGE: usize = 512;

fn varint(number: u64) -> Vec<u8> {
    let mut bytes = vec![(number & 0x7f) as u8];
    let mut rest = number >> 7;
    while rest > 0 {
        bytes.insert(0, (rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes
}

/// A page of a table: its cells from the end, their offsets in front.
fn page(kind: u8, start: usize, right: u32, cells: &[Vec<u8>]) -> Vec<u8> {
    let mut page = vec![0; PAGE];
    page[start] = kind;
    page[start + 3..start + 5].copy_from_slice(&(cells.len() as u16).to_be_bytes());
    let mut pointers = start + 8;
    if kind == 5 {
        page[start + 8..start + 12].copy_from_slice(&right.to_be_bytes());
        pointers += 4;
    }
    let mut end = PAGE;
    for cell in cells {
        end -= cell.len();
        page[end..end + cell.len()].copy_from_slice(cell);
        page[pointers..pointers + 2].copy_from_slice(&(end as u16).to_be_bytes());
        pointers += 2;
    }
    page
}

fn row(id: u64, payload: &[u8]) -> Vec<u8> {
    [varint(payload.len() as u64), varint(id), payload.to_vec()].concat()
}

/// A header of an entry of a string for each of these tags, and an epoch.
fn blob(strings: &[(u32, &str)], epoch: Option<u32>) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    let mut entry = |tag: u32, kind: u32, bytes: &[u8]| {
        for number in [tag, kind, data.len() as u32, 1] {
            index.extend(number.to_be_bytes());
        }
        data.extend_from_slice(bytes);
    };
    if let Some(epoch) = epoch {
        entry(1003, 4, &epoch.to_be_bytes());
    }
    for (tag, text) in strings {
        entry(*tag, 6, &[text.as_bytes(), b"\0"].concat());
    }
    let count = (index.len() / 16) as u32;
    [count.to_be_bytes().to_vec(), (data.len() as u32).to_be_bytes().to_vec(), index, data].concat()
}

fn bash() -> Vec<u8> {
    let strings = [(1000, "bash"), (1001, "5.2.26"), (1002, "3.fc40"), (1014, "GPL-3.0-or-later"), (1022, "x86_64")];
    blob(&strings, Some(2))
}

/// NULL and a blob.
fn packages_row(id: u64, header: &[u8]) -> Vec<u8> {
    let types = [vec![0], varint(header.len() as u64 * 2 + 12)].concat();
    row(id, &[varint(types.len() as u64 + 1), types, header.to_vec()].concat())
}

/// A database with a table of packages of these pages, from page 2 on.
fn database(pages: &[Vec<u8>]) -> Vec<u8> {
    let schema = ["table", "Packages", "Packages"];
    let types: Vec<u8> = schema.iter().flat_map(|text| varint(text.len() as u64 * 2 + 13)).chain([1, 13]).collect();
    let record = [vec![types.len() as u8 + 1], types, schema.concat().into_bytes(), vec![2]].concat();
    let mut first = page(13, 100, 0, &[row(1, &record)]);
    first[..16].copy_from_slice(b"SQLite format 3\0");
    first[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
    first[59] = 1;
    [first, pages.concat()].concat()
}

fn read(bytes: &[u8]) -> Result<(Vec<Header>, u64), Fault> {
    let mut found = Vec::new();
    let unread = headers(Cursor::new(bytes), bytes.len() as u64, &mut |header| {
        found.push(header.clone());
        Ok(())
    })?;
    Ok((found, unread))
}

fn damage(bytes: &[u8]) -> &'static str {
    match read(bytes) {
        Err(Fault::Damaged(why)) => why,
        other => panic!("{other:?}"),
    }
}

// spec: BUILD-128
#[test]
fn rows_are_found_in_tables_of_several_pages_and_in_their_order() {
    let interior = page(5, 0, 4, &[[3_u32.to_be_bytes().to_vec(), varint(1)].concat()]);
    let named = |name: &str| packages_row(1, &blob(&[(1000, name), (1001, "1")], None));
    let pages = [interior, page(13, 0, 0, &[named("a"), named("b")]), page(13, 0, 0, &[packages_row(3, &bash())])];
    let (found, unread) = read(&database(&pages)).unwrap();
    assert_eq!(found.iter().map(|header| header.name.as_str()).collect::<Vec<_>>(), ["a", "b", "bash"]);
    assert_eq!(unread, 0);
    let release = Release { id: Some("fedora".into()), version: Some("40".into()) };
    let package = package(&found[2], &TreePath::new("rpmdb.sqlite"), &release).unwrap();
    assert_eq!(package.purl, "pkg:rpm/fedora/bash@5.2.26-3.fc40?arch=x86_64&distro=fedora-40&epoch=2");
    assert_eq!((package.version.as_str(), package.licence.as_deref()), ("2:5.2.26-3.fc40", Some("GPL-3.0-or-later")));
    assert!(super::package(&Header { name: KEY.into(), ..found[2].clone() }, &TreePath::root(), &release).is_none());
}

/// A row of `size` bytes of header, of which what does not fit is in pages from 3 on.
fn long(header: &[u8], next: impl Fn(u32) -> u32) -> Vec<Vec<u8>> {
    let types = [vec![0], varint(header.len() as u64 * 2 + 12)].concat();
    let payload = [varint(types.len() as u64 + 1), types, header.to_vec()].concat();
    let least = (PAGE - 12) * 32 / 255 - 23;
    let stays = least + (payload.len() - least) % (PAGE - 4);
    let stays = if stays <= PAGE - 35 { stays } else { least };
    let cell = [varint(payload.len() as u64), varint(1), payload[..stays].to_vec(), 3_u32.to_be_bytes().to_vec()];
    let mut pages = vec![page(13, 0, 0, &[cell.concat()])];
    for (number, part) in (3_u32..).zip(payload[stays..].chunks(PAGE - 4)) {
        let mut page = next(number).to_be_bytes().to_vec();
        page.extend_from_slice(part);
        page.resize(PAGE, 0);
        pages.push(page);
    }
    pages
}

// spec: BUILD-128
#[test]
fn a_row_may_go_on_in_other_pages() {
    for size in [500, 1_000, 5_000, 20_000] {
        let header = blob(&[(1, &"x".repeat(size)), (1000, "long"), (1001, "1")], None);
        let (found, unread) = read(&database(&long(&header, |number| number + 1))).unwrap();
        assert_eq!((found[0].name.as_str(), unread), ("long", 0), "{size}");
    }
}

// spec: BUILD-128
#[test]
fn what_goes_in_circles_ends() {
    let header = blob(&[(1, &"x".repeat(5_000)), (1000, "long"), (1001, "1")], None);
    // A chain ends with its row, wherever it leads.
    let (found, unread) = read(&database(&long(&header, |_| 3))).unwrap();
    assert_eq!((found.len(), unread), (0, 1));
    assert_eq!(damage(&database(&long(&header, |_| 0))), "a page is named that it does not have");
    let child = |to: u32| [to.to_be_bytes().to_vec(), varint(1)].concat();
    assert_eq!(damage(&database(&[page(5, 0, 2, &[child(2)])])), "its pages go in circles");
    assert_eq!(damage(&database(&[page(5, 0, 9, &[])])), "a page is named that it does not have");
    assert_eq!(damage(&database(&[page(7, 0, 9, &[])])), "a page of a table cannot be read");
    // The same bytes for many rows.
    let mut same = page(13, 0, 0, &[packages_row(1, &bash())]);
    let at = [same[8], same[9]];
    same[3..5].copy_from_slice(&20_u16.to_be_bytes());
    for index in 0..20 {
        same[8 + 2 * index..10 + 2 * index].copy_from_slice(&at);
    }
    assert_eq!(damage(&database(&[same])), "rows lie within each other");
    let (found, unread) =
        read(&database(&[page(13, 0, 0, &[packages_row(1, b"none"), packages_row(2, &bash())])])).unwrap();
    assert_eq!((found.len(), unread), (1, 1));
    assert_eq!(damage(&database(&[])), "a page is named that it does not have");
    assert_eq!(damage(b""), "it is cut off");
    assert_eq!(damage(&[0; 200]), "it is no SQLite database");
}

#[test]
fn a_header_is_read_and_a_wrong_one_is_none() {
    let whole = bash();
    assert_eq!(header::parse(&whole).unwrap().epoch, Some(2));
    for end in 0..whole.len() {
        assert_eq!(header::parse(&whole[..end]), None, "{end}");
    }
    assert_eq!(header::parse(&blob(&[(1000, "a")], None)), None);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut other = whole.clone();
            other[at] ^= 1 << bit;
            let _ = header::parse(&other);
        }
    }
}
