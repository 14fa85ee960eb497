//! Numbers in headers: octal text, GNU's base-256, and decimal in PAX records.

use ctr_sys::dirfd::Timestamp;

/// A signed number of a header field: octal with spaces or NULs around it, or base-256 where the first bit is set (GNU tar
/// manual, "Extensions"). An empty field is 0.
pub(super) fn field(bytes: &[u8]) -> Option<i64> {
    match bytes.split_first() {
        Some((first, rest)) if first & 0x80 != 0 => {
            // Two's complement over the field, the top bit being the mark.
            let negative = first & 0x40 != 0;
            let mut value: i64 = if negative { -1 } else { 0 };
            let first = if negative { first | 0x80 } else { first & 0x7f };
            for byte in std::iter::once(first).chain(rest.iter().copied()) {
                value = value.checked_mul(256)?.checked_add(i64::from(byte))?;
            }
            Some(value)
        }
        _ => octal(bytes),
    }
}

/// As [`field`], but never negative.
pub(super) fn unsigned(bytes: &[u8]) -> Option<u64> {
    field(bytes).and_then(|value| u64::try_from(value).ok())
}

fn octal(bytes: &[u8]) -> Option<i64> {
    let is_pad = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = bytes.iter().position(|byte| !is_pad(byte)).unwrap_or(bytes.len());
    let digits = bytes.get(start..)?;
    let end = digits.iter().position(is_pad).unwrap_or(digits.len());
    digits.get(..end)?.iter().try_fold(0i64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(i64::from(digit))
    })
}

/// A decimal number of a PAX record or sparse map: digits only.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A PAX time: seconds with an optional sign and fraction; digits beyond nanoseconds are cut.
pub(super) fn pax_time(bytes: &[u8]) -> Option<Timestamp> {
    let (negative, bytes) = match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, bytes),
    };
    let (whole, fraction) = match bytes.iter().position(|byte| *byte == b'.') {
        Some(dot) => (bytes.get(..dot)?, bytes.get(dot + 1..)?),
        None => (bytes, &[][..]),
    };
    let secs = i64::try_from(decimal(whole)?).ok()?;
    let mut nanos = 0u32;
    for place in 0..9 {
        let digit = fraction.get(place).copied().unwrap_or(b'0').checked_sub(b'0').filter(|digit| *digit < 10)?;
        nanos = nanos * 10 + u32::from(digit);
    }
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(match (negative, nanos) {
        (false, nanos) => Timestamp { secs, nanos },
        (true, 0) => Timestamp { secs: -secs, nanos: 0 },
        (true, nanos) => Timestamp { secs: (-secs).checked_sub(1)?, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        for (bytes, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"644", Some(0o644)),
            (b"77777777777", Some(0o77_777_777_777)),
            (b"\x80\0\0\0\0\0\0\x01\0\0\0\0", Some(1 << 32)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\x80\0\0\0\0\0\0\0\0\0\0", None),
            (b"99", None),
            (b"-1", None),
            (b"12x", None),
        ] {
            assert_eq!(field(bytes), value, "{}", bytes.escape_ascii());
        }
        assert_eq!(unsigned(b"\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }

    #[test]
    fn times() {
        for (text, value) in [
            ("0", Some((0, 0))),
            ("1350244992.023960108", Some((1_350_244_992, 23_960_108))),
            ("1.5", Some((1, 500_000_000))),
            ("1.0000000019", Some((1, 1))),
            ("-1", Some((-1, 0))),
            ("-1.5", Some((-2, 500_000_000))),
            ("", None),
            (".5", None),
            ("1.x", None),
            ("1.00000000000x", None),
            ("+1", None),
            ("9223372036854775808", None),
        ] {
            let expected = value.map(|(secs, nanos)| Timestamp { secs, nanos });
            assert_eq!(pax_time(text.as_bytes()), expected, "{text}");
        }
    }
}
