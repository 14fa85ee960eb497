import tarfile

with tarfile.open("x.tar", "w") as tar:
    for name, kind, mode, device in [
        ("null", tarfile.CHRTYPE, 0o666, (1, 3)),
        ("disk", tarfile.BLKTYPE, 0o660, (8, 1)),
        ("empty", tarfile.REGTYPE, 0o644, (0, 0)),
    ]:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = kind, mode, 0, 6
        entry.devmajor, entry.devminor = device
        tar.addfile(entry)
