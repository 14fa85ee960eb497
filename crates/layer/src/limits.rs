//! Numbers that hold archive bombs off (spec/limits.md). Real images stay far below each of them.

/// Limits of one archive. [`Limits::default`] is what spec/limits.md promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one layer.
    pub entries: u64,
    /// Bytes of one layer, decompressed.
    pub layer_bytes: u64,
    /// Apparent size of one file in bytes, holes included.
    pub file_bytes: u64,
    /// Decompressed bytes per compressed byte, counted beyond [`Limits::ratio_floor`].
    pub ratio: u64,
    /// Decompressed bytes up to which any ratio is taken.
    pub ratio_floor: u64,
    /// Bytes of one path.
    pub path_bytes: usize,
    /// Components of one path.
    pub path_depth: usize,
    /// Bytes of one extended header (PAX `x` and `g`, GNU `L` and `K`).
    pub header_bytes: u64,
    /// Segments of one sparse file.
    pub sparse_segments: usize,
    /// Extended attributes of one entry.
    pub xattrs: usize,
    /// Bytes of one extended attribute's value (Linux takes no more, xattr(7)).
    pub xattr_bytes: usize,
    /// Bytes that are remembered of a layer's directories until its end: path and attributes of each, and
    /// [`DIRECTORY_OVERHEAD`].
    pub directory_bytes: usize,
}

/// Bytes of one component of a path (`NAME_MAX` of Linux).
pub const NAME_BYTES: usize = 255;

/// What a directory counts for in [`Limits::directory_bytes`], whatever its name.
pub const DIRECTORY_OVERHEAD: usize = 64;

/// Components that are looked at on the way to one path, those of symbolic links included.
pub const STEPS_WALKED: u32 = 2048;

/// Symbolic links that one path may go through (`MAXSYMLINKS` of Linux).
pub const LINKS_FOLLOWED: u32 = 40;

impl Limits {
    /// The promised limits.
    pub const PROMISED: Self = Self {
        entries: 2_000_000,
        layer_bytes: 256 << 30,
        file_bytes: 128 << 30,
        ratio: 300,
        ratio_floor: 1 << 30,
        path_bytes: 4095,
        path_depth: 256,
        header_bytes: 1 << 20,
        sparse_segments: 1 << 18,
        xattrs: 128,
        xattr_bytes: 64 << 10,
        directory_bytes: 256 << 20,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::PROMISED
    }
}

/// Which limit an archive ran into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// [`Limits::entries`].
    #[error("the archive has more than {0} entries")]
    Entries(u64),
    /// [`Limits::layer_bytes`].
    #[error("the archive is larger than {0} bytes when decompressed")]
    LayerBytes(u64),
    /// [`Limits::file_bytes`].
    #[error("a file of {found} bytes is larger than {limit}")]
    FileBytes {
        /// The limit.
        limit: u64,
        /// What the archive says.
        found: u64,
    },
    /// [`Limits::ratio`].
    #[error("{decompressed} bytes came out of {compressed}: more than {limit} for one looks like a decompression bomb")]
    Ratio {
        /// The limit.
        limit: u64,
        /// Bytes read.
        compressed: u64,
        /// Bytes that came out of them.
        decompressed: u64,
    },
    /// [`NAME_BYTES`].
    #[error("a file name of {0} bytes is longer than {NAME_BYTES}")]
    NameBytes(usize),
    /// [`Limits::path_bytes`].
    #[error("a path of {found} bytes is longer than {limit}")]
    PathBytes {
        /// The limit.
        limit: usize,
        /// What the archive has.
        found: usize,
    },
    /// [`Limits::path_depth`].
    #[error("a path of {found} components is deeper than {limit}")]
    PathDepth {
        /// The limit.
        limit: usize,
        /// What the archive has.
        found: usize,
    },
    /// [`Limits::header_bytes`].
    #[error("an extended header of {found} bytes is larger than {limit}")]
    HeaderBytes {
        /// The limit.
        limit: u64,
        /// What the archive says.
        found: u64,
    },
    /// [`Limits::sparse_segments`].
    #[error("a sparse file has more than {0} segments")]
    SparseSegments(usize),
    /// [`Limits::xattrs`].
    #[error("an entry has more than {0} extended attributes")]
    Xattrs(usize),
    /// [`Limits::directory_bytes`].
    #[error("paths and attributes of its directories take more than {0} bytes")]
    DirectoryBytes(usize),
    /// [`Limits::xattr_bytes`].
    #[error("an extended attribute of {found} bytes is larger than {limit}")]
    XattrBytes {
        /// The limit.
        limit: usize,
        /// What the archive has.
        found: usize,
    },
}
