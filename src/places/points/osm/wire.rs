//! The wire format of Protocol Buffers, as far as extracts use it: numbers and bytes, and lists of numbers in bytes.
//! `blobs` and `block` read by it. Nothing is copied and nothing is allocated, whatever lengths the bytes claim.

/// What is wrong with some bytes.
pub type Damage = &'static str;

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed width, which no field that matters here has.
    Fixed,
}

/// The fields of a message, one after the other.
#[derive(Clone, Copy)]
pub struct Message<'a>(pub &'a [u8]);

impl<'a> Message<'a> {
    /// The next field with its number.
    pub fn field(&mut self) -> Result<Option<(u64, Field<'a>)>, Damage> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = varint(&mut self.0)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut self.0)?),
            1 => self.fixed(8)?,
            2 => {
                let length = varint(&mut self.0)?;
                Field::Bytes(self.take(length)?)
            }
            5 => self.fixed(4)?,
            _ => return Err("a field of no known kind"),
        };
        Ok(Some((key >> 3, field)))
    }

    fn fixed(&mut self, length: u64) -> Result<Field<'a>, Damage> {
        self.take(length)?;
        Ok(Field::Fixed)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Damage> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.0.len());
        let (taken, rest) = self.0.split_at(length.ok_or("a field is longer than what holds it")?);
        self.0 = rest;
        Ok(taken)
    }
}

/// A list of numbers, one after the other.
#[derive(Clone, Copy, Default)]
pub struct Numbers<'a>(pub &'a [u8]);

impl Numbers<'_> {
    #[inline]
    pub fn number(&mut self) -> Result<Option<u64>, Damage> {
        if self.0.is_empty() { Ok(None) } else { varint(&mut self.0).map(Some) }
    }
}

/// A list of signed numbers, each the difference from the one before.
#[derive(Clone, Copy, Default)]
pub struct Deltas<'a> {
    numbers: Numbers<'a>,
    last: i64,
}

impl<'a> Deltas<'a> {
    pub fn new(bytes: &'a [u8]) -> Deltas<'a> {
        Deltas { numbers: Numbers(bytes), last: 0 }
    }

    #[inline]
    pub fn number(&mut self) -> Result<Option<i64>, Damage> {
        Ok(self.numbers.number()?.map(|number| {
            self.last = self.last.wrapping_add(zigzag(number));
            self.last
        }))
    }
}

/// A signed number: the lowest bit is its sign.
#[inline]
pub fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// A number, seven bits a byte.
#[inline]
fn varint(bytes: &mut &[u8]) -> Result<u64, Damage> {
    let mut number = 0;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Ok(number);
        }
    }
    Err(if bytes.len() < 10 { "it ends within a number" } else { "a number of over 64 bits" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length() {
        for (bytes, expected) in [
            (&[0][..], Ok(0)),
            (&[0x7f], Ok(127)),
            (&[0x80, 1], Ok(128)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Ok(u64::MAX)),
            (&[0x80], Err("it ends within a number")),
            (&[0x80; 11], Err("a number of over 64 bits")),
        ] {
            let mut rest = bytes;
            assert_eq!(varint(&mut rest), expected, "{bytes:?}");
            assert!(expected.is_err() || rest.is_empty());
        }
        for (number, signed) in [(0, 0), (1, -1), (2, 1), (u64::MAX, i64::MIN)] {
            assert_eq!(zigzag(number), signed);
        }
    }

    #[test]
    fn fields_and_what_claims_to_be_one() {
        let mut message =
            Message(&[0x08, 5, 0x12, 2, b'a', b'b', 0x1d, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message.field(), Ok(Some((1, Field::Number(5)))));
        assert_eq!(message.field(), Ok(Some((2, Field::Bytes(b"ab")))));
        assert_eq!(message.field(), Ok(Some((3, Field::Fixed))));
        assert_eq!(message.field(), Ok(Some((4, Field::Fixed))));
        assert_eq!(message.field(), Ok(None));
        for bytes in
            [&[0x12, 3, 0, 0][..], &[0x12, 0xff, 0xff, 0xff, 0xff, 0x7f], &[0x0b], &[0x1d, 0], &[0x08]]
        {
            assert!(Message(bytes).field().is_err(), "{bytes:?}");
        }
    }
}
