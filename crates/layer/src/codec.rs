//! Compressions of layers: found by content, decoded as streams, encoded so that the same input gives the same bytes.

use std::io::{self, BufRead, Read, Write};

use crate::error::{LayerError, Result};

/// A compression that ctr reads. It writes all but [`Codec::Bzip2`] and [`Codec::Xz`], which only legacy images have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// None.
    Plain,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames, skippable frames between them.
    Zstd,
    /// bzip2, read only.
    Bzip2,
    /// xz, read only.
    Xz,
}

/// Bytes that [`Codec::sniff`] wants to see.
pub const SNIFF_BYTES: usize = 6;

/// Memory that an xz stream may ask for, in KiB. `xz -9` needs 65 MiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;

impl Codec {
    /// The compression of a stream that starts with `head` (its first [`SNIFF_BYTES`] bytes, or all of it).
    pub fn sniff(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or one of the sixteen skippable kinds (RFC 8878 §3.1).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::Plain,
        }
    }

    /// Its name, as messages say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }

    /// Media type of an OCI layer of this compression (image-spec layer.md); `None` if OCI has none.
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Plain => Some("application/vnd.oci.image.layer.v1.tar"),
            Self::Gzip => Some("application/vnd.oci.image.layer.v1.tar+gzip"),
            Self::Zstd => Some("application/vnd.oci.image.layer.v1.tar+zstd"),
            Self::Bzip2 | Self::Xz => None,
        }
    }

    /// A reader of what `input` holds compressed. Errors of the stream itself come as [`io::Error`]s.
    pub fn decoder<'a, R: BufRead + Send + 'a>(self, input: R) -> Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(input),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input).map_err(LayerError::Source)?),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB)),
        })
    }
}

/// A reader of `input`, decompressed as its first bytes tell, and how that was.
pub fn open<'a, R: BufRead + Send + 'a>(mut input: R) -> Result<(Codec, Box<dyn Read + Send + 'a>)> {
    // A reader may give less than asked for; a head that is cut by that is completed here.
    let mut head = Vec::with_capacity(SNIFF_BYTES);
    let available = input.fill_buf().map_err(LayerError::Source)?;
    if available.len() >= SNIFF_BYTES {
        let codec = Codec::sniff(available);
        return Ok((codec, codec.decoder(input)?));
    }
    input.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut head).map_err(LayerError::Source)?;
    let codec = Codec::sniff(&head);
    Ok((codec, codec.decoder(io::Cursor::new(head).chain(input))?))
}

/// How a layer is compressed when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip level 6, for consumers that know nothing else.
    Gzip,
    /// zstd level 3.
    #[default]
    Zstd,
}

impl Compression {
    /// The codec that reads it back.
    pub fn codec(self) -> Codec {
        match self {
            Self::Plain => Codec::Plain,
            Self::Gzip => Codec::Gzip,
            Self::Zstd => Codec::Zstd,
        }
    }

    /// A writer that compresses into `sink`. No time, name or host goes into the stream; [`Encoder::finish`] ends it.
    pub fn encoder<W: Write>(self, sink: W) -> io::Result<Encoder<W>> {
        Ok(match self {
            Self::Plain => Encoder::Plain(sink),
            Self::Gzip => Encoder::Gzip(
                flate2::GzBuilder::new().mtime(0).operating_system(255).write(sink, flate2::Compression::new(6)),
            ),
            Self::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(sink, 3)?;
                encoder.include_checksum(true)?;
                Encoder::Zstd(encoder)
            }
        })
    }
}

/// A compressing writer; see [`Compression::encoder`].
pub enum Encoder<W: Write> {
    /// Passes through.
    Plain(W),
    /// gzip.
    Gzip(flate2::write::GzEncoder<W>),
    /// zstd.
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Ends the stream and gives the sink back.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(mut sink) => {
                sink.flush()?;
                Ok(sink)
            }
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(sink) => sink.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(sink) => sink.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}
