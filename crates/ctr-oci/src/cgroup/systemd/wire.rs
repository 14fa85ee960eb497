//! Messages of D-Bus (D-Bus Specification, "Message Protocol"): as much of them as talking to systemd's manager takes.

use super::super::CgroupError;

/// The largest message that is taken; systemd's answers have some hundred bytes.
pub(super) const MESSAGE_MAX: usize = 1 << 20;

/// A value of a property of a unit.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `b`
    Bool(bool),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`
    F64(f64),
    /// `s`
    Str(String),
    /// `ay`
    Bytes(Vec<u8>),
    /// `au`
    U32s(Vec<u32>),
    /// `as`
    Strs(Vec<String>),
}

/// Properties by name.
pub(super) type Properties = Vec<(String, Value)>;

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Self::Bool(_) => "b",
            Self::I32(_) => "i",
            Self::U32(_) => "u",
            Self::I64(_) => "x",
            Self::U64(_) => "t",
            Self::F64(_) => "d",
            Self::Str(_) => "s",
            Self::Bytes(_) => "ay",
            Self::U32s(_) => "au",
            Self::Strs(_) => "as",
        }
    }
}

/// A body being written, little-endian. Every value begins at a multiple of its size.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub(super) fn u32(&mut self, number: u32) -> &mut Self {
        self.align(4);
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn u64(&mut self, number: u64) {
        self.align(8);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn bool(&mut self, truth: bool) -> &mut Self {
        self.u32(u32::from(truth))
    }

    pub(super) fn str(&mut self, text: &str) -> &mut Self {
        self.u32(u32::try_from(text.len()).unwrap_or(0));
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    fn signature(&mut self, signature: &str) {
        self.0.push(u8::try_from(signature.len()).unwrap_or(0));
        self.0.extend_from_slice(signature.as_bytes());
        self.0.push(0);
    }

    /// An array whose elements begin at multiples of `align`: its length counts from the first element.
    fn array(&mut self, align: usize, elements: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.0.len() - 4;
        self.align(align);
        let first = self.0.len();
        elements(self);
        let length = u32::try_from(self.0.len() - first).unwrap_or(0);
        if let Some(slot) = self.0.get_mut(length_at..length_at + 4) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn variant(&mut self, value: &Value) {
        self.signature(value.signature());
        match value {
            Value::Bool(truth) => {
                self.bool(*truth);
            }
            Value::I32(number) => {
                self.u32(number.cast_unsigned());
            }
            Value::U32(number) => {
                self.u32(*number);
            }
            Value::I64(number) => self.u64(number.cast_unsigned()),
            Value::U64(number) => self.u64(*number),
            Value::F64(number) => self.u64(number.to_bits()),
            Value::Str(text) => {
                self.str(text);
            }
            Value::Bytes(bytes) => self.array(1, |out| out.0.extend_from_slice(bytes)),
            Value::U32s(numbers) => self.array(4, |out| {
                for number in numbers {
                    out.u32(*number);
                }
            }),
            Value::Strs(texts) => self.array(4, |out| {
                for text in texts {
                    out.str(text);
                }
            }),
        }
    }

    /// `a(sv)`
    pub(super) fn properties(&mut self, properties: &Properties) -> &mut Self {
        self.array(8, |out| {
            for (name, value) in properties {
                out.align(8);
                out.str(name).variant(value);
            }
        });
        self
    }

    /// An empty `a(...)`.
    pub(super) fn nothing(&mut self) -> &mut Self {
        self.array(8, |_| ());
        self
    }
}

/// A method call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) destination: Option<&'a str>,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) signature: &'a str,
    pub(super) body: Writer,
}

impl Call<'_> {
    /// The whole message.
    pub(super) fn encode(self, serial: u32) -> Vec<u8> {
        const METHOD_CALL: u8 = 1;
        let mut out = Writer(vec![b'l', METHOD_CALL, 0, 1]);
        out.u32(u32::try_from(self.body.0.len()).unwrap_or(0)).u32(serial);
        let texts = [
            (1, "o", Some(self.path)),
            (2, "s", Some(self.interface)),
            (3, "s", Some(self.member)),
            (6, "s", self.destination),
        ];
        out.array(8, |out| {
            for (code, kind, text) in texts {
                if let Some(text) = text {
                    out.align(8);
                    out.0.push(code);
                    out.signature(kind);
                    out.str(text);
                }
            }
            if !self.signature.is_empty() {
                out.align(8);
                out.0.push(8);
                out.signature("g");
                out.signature(self.signature);
            }
        });
        out.align(8);
        out.0.extend_from_slice(&self.body.0);
        out.0
    }
}

/// A message that came.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// 2: an answer, 3: an error, 4: a signal.
    pub(super) kind: u8,
    pub(super) reply_to: u32,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) body: Vec<u8>,
}

/// How many bytes the message has whose first sixteen these are.
pub(super) fn length(head: &[u8; 16]) -> Result<usize, CgroupError> {
    let number = |at: usize| {
        let bytes = head.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).unwrap_or_default();
        usize::try_from(if head[0] == b'B' { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let (Ok(body), Ok(fields)) = (number(4), number(12)) else { return Err(broken()) };
    if body > MESSAGE_MAX || fields > MESSAGE_MAX || head[0] != b'l' {
        return Err(broken());
    }
    Ok(16 + fields.next_multiple_of(8) + body)
}

pub(super) fn broken() -> CgroupError {
    CgroupError::systemd("talk to systemd", "its answer is no message of D-Bus that could be read")
}

impl Message {
    /// Reads a whole message.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CgroupError> {
        let mut message = Self { kind: *bytes.get(1).ok_or_else(broken)?, ..Self::default() };
        let mut reader = Reader { bytes, at: 12 };
        let length = usize::try_from(reader.u32()?).map_err(|_| broken())?;
        let end = reader.at + length;
        while reader.at < end {
            reader.align(8);
            let code = reader.byte()?;
            match reader.signature()? {
                "u" => {
                    let number = reader.u32()?;
                    if code == 5 {
                        message.reply_to = number;
                    }
                }
                "s" | "o" => {
                    let text = reader.str()?;
                    match code {
                        3 => text.clone_into(&mut message.member),
                        4 => text.clone_into(&mut message.error),
                        _ => {}
                    }
                }
                "g" => {
                    reader.signature()?;
                }
                _ => return Err(broken()),
            }
        }
        reader.align(8);
        message.body = bytes.get(reader.at..).ok_or_else(broken)?.to_vec();
        Ok(message)
    }

    /// Its body.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0 }
    }
}

/// A body being read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CgroupError> {
        let end = self.at.checked_add(count).ok_or_else(broken)?;
        let taken = self.bytes.get(self.at..end).ok_or_else(broken)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, CgroupError> {
        self.take(1)?.first().copied().ok_or_else(broken)
    }

    pub(super) fn u32(&mut self) -> Result<u32, CgroupError> {
        self.align(4);
        let bytes = <[u8; 4]>::try_from(self.take(4)?).map_err(|_| broken())?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn text(&mut self, length: usize) -> Result<&'a str, CgroupError> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| broken())?;
        self.take(1)?;
        Ok(text)
    }

    pub(super) fn str(&mut self) -> Result<&'a str, CgroupError> {
        let length = usize::try_from(self.u32()?).map_err(|_| broken())?;
        self.text(length)
    }

    fn signature(&mut self) -> Result<&'a str, CgroupError> {
        let length = usize::from(self.byte()?);
        self.text(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_written_as_the_specification_has_it() {
        let mut body = Writer::default();
        body.str("ab").properties(&vec![("N".to_owned(), Value::U64(5)), ("B".to_owned(), Value::Bool(true))]);
        let bytes =
            Call { destination: None, path: "/p", interface: "i", member: "M", signature: "sa(sv)", body }.encode(7);
        #[rustfmt::skip]
        let expected = [
            b'l', 1, 0, 1,  60, 0, 0, 0,  7, 0, 0, 0,  62, 0, 0, 0,
            1, 1, b'o', 0,  2, 0, 0, 0,  b'/', b'p', 0, 0,  0, 0, 0, 0,
            2, 1, b's', 0,  1, 0, 0, 0,  b'i', 0, 0, 0,  0, 0, 0, 0,
            3, 1, b's', 0,  1, 0, 0, 0,  b'M', 0, 0, 0,  0, 0, 0, 0,
            8, 1, b'g', 0,  6, b's', b'a', b'(',  b's', b'v', b')', 0,  0, 0, 0, 0,
        ];
        assert_eq!(&bytes[..4], &expected[..4]);
        assert_eq!(&bytes[8..12], &expected[8..12]);
        assert_eq!(&bytes[16..80], &expected[16..80]);
        let body = &bytes[80..];
        assert_eq!(usize::try_from(u32::from_le_bytes(bytes[4..8].try_into().unwrap())).unwrap(), body.len());
        #[rustfmt::skip]
        let expected = [
            2, 0, 0, 0, b'a', b'b', 0, 0,  36, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, b'N', 0, 1, b't',  0, 0, 0, 0, 0, 0, 0, 0,  5, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, b'B', 0, 1, b'b',  0, 0, 0, 0, 1, 0, 0, 0,
        ];
        let length = body[8..12].to_vec();
        assert_eq!(length, [40, 0, 0, 0]);
        assert_eq!((&body[..8], &body[12..]), (&expected[..8], &expected[12..]));
    }

    #[test]
    fn messages_are_read_and_nonsense_is_refused() {
        let mut body = Writer::default();
        body.u32(3).str("/job/3").str("x.scope").str("done");
        let call =
            Call { destination: Some("d"), path: "/p", interface: "i", member: "JobRemoved", signature: "uoss", body };
        let bytes = call.encode(1);
        let head: [u8; 16] = bytes[..16].try_into().unwrap();
        assert_eq!(length(&head).unwrap(), bytes.len());
        let message = Message::decode(&bytes).unwrap();
        assert_eq!((message.kind, message.member.as_str()), (1, "JobRemoved"));
        let mut reader = message.reader();
        assert_eq!(reader.u32().unwrap(), 3);
        assert_eq!(reader.str().unwrap(), "/job/3");
        assert_eq!((reader.str().unwrap(), reader.str().unwrap()), ("x.scope", "done"));
        assert!(reader.u32().is_err());
        for cut in 0..bytes.len() {
            if let Ok(message) = Message::decode(&bytes[..cut]) {
                let mut reader = message.reader();
                while reader.str().is_ok() {}
            }
            let mut bent = bytes.clone();
            bent[cut] ^= 0xff;
            if let Ok(message) = Message::decode(&bent) {
                let _ = message.reader().str();
            }
        }
        assert!(length(&[0xff; 16]).is_err());
    }
}
