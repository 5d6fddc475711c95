//! The bytes of a row: little-endian, of fixed widths where rows are few, a version in front and a checksum behind.
//!
//! The checksum is there because the store under it checks its pages only when it repairs: a flipped
//! bit must be told, not believed. Decoding never panics and never reads past the end.

use crc_fast::{CrcAlgorithm, Digest};
use std::fmt;

/// The version every row is written with.
pub(super) const VERSION: u8 = 1;

/// Bytes of the checksum.
const SUM: usize = 4;

/// Why a row cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    /// The checksum does not fit, or the row is too short to have one.
    #[error("its checksum does not match")]
    Sum,
    /// Written by a version of this program that is not known.
    #[error("its version {0} is not known")]
    Version(u8),
    /// A field runs past the end, bytes are left over, or a value is out of its range.
    #[error("it is malformed")]
    Form,
}

impl From<Damage> for redb::Error {
    fn from(damage: Damage) -> Self {
        Self::Corrupted(format!("a row cannot be read: {damage}"))
    }
}

/// Builds a row.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(vec![VERSION])
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    pub(super) fn i64(self, value: i64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    /// Seven bits a byte, the lowest first: few bytes for a small number, ten at most.
    pub(super) fn number(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    /// As [`Writer::number`], of either sign.
    pub(super) fn signed(self, value: i64) -> Self {
        self.number((value << 1 ^ value >> 63) as u64)
    }

    /// Length in front, so that fields may follow. Texts here are keys, tags and places: far below 4 GiB.
    pub(super) fn text(self, text: &str) -> Self {
        let length = u32::try_from(text.len()).expect("a text of a row is below 4 GiB");
        self.u32(length).raw(text.as_bytes())
    }

    /// A flag byte, then the value if there is one.
    pub(super) fn option<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => write(self.u8(1), value),
            None => self.u8(0),
        }
    }

    /// The finished row.
    pub(super) fn seal(self) -> Vec<u8> {
        self.seal_as("")
    }

    /// The finished row, good under this name only: a name that was damaged shows as well.
    pub(super) fn seal_as(self, name: &str) -> Vec<u8> {
        let sum = sum(&self.0, name);
        self.raw(&sum).0
    }
}

/// Reads a row.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Checks sum and version.
    pub(super) fn open(row: &'a [u8]) -> Result<Self, Damage> {
        Self::open_as("", row)
    }

    /// As [`Reader::open`], of a row that was sealed under a name.
    pub(super) fn open_as(name: &str, row: &'a [u8]) -> Result<Self, Damage> {
        let (body, tail) = row.split_last_chunk::<SUM>().ok_or(Damage::Sum)?;
        if sum(body, name) != *tail {
            return Err(Damage::Sum);
        }
        match body.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            Some((other, _)) => Err(Damage::Version(*other)),
            None => Err(Damage::Sum),
        }
    }

    /// What [`Writer::number`] wrote, and no longer spelling of it.
    pub(super) fn number(&mut self) -> Result<u64, Damage> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                return Err(Damage::Form);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return if byte == 0 && shift > 0 { Err(Damage::Form) } else { Ok(value) };
            }
        }
        Err(Damage::Form)
    }

    /// As [`Reader::number`], for what has to fit 32 bits.
    pub(super) fn small(&mut self) -> Result<u32, Damage> {
        u32::try_from(self.number()?).map_err(|_| Damage::Form)
    }

    /// What [`Writer::signed`] wrote.
    pub(super) fn signed(&mut self) -> Result<i64, Damage> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Damage> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Damage::Form)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Damage::Form)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Damage> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, Damage> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Damage> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Damage> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Damage> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Damage> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damage::Form),
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Damage> {
        let length = usize::try_from(self.u32()?).map_err(|_| Damage::Form)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Damage::Form)
    }

    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Damage>,
    ) -> Result<Option<T>, Damage> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Damage> {
        if self.0.is_empty() { Ok(()) } else { Err(Damage::Form) }
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes left", self.0.len())
    }
}

/// CRC-32 of the body and the name.
fn sum(body: &[u8], name: &str) -> [u8; SUM] {
    let mut crc = Digest::new(CrcAlgorithm::Crc32IsoHdlc);
    crc.update(body);
    crc.update(name.as_bytes());
    let [a, b, c, d, ..] = crc.finalize().to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_in_order_and_nothing_may_be_left() {
        let row = Writer::new()
            .u8(1)
            .u32(2)
            .i64(-3)
            .text("é")
            .option(Some(4), Writer::u64)
            .option(None, Writer::u64)
            .seal();
        let mut r = Reader::open(&row).expect("sealed");
        assert_eq!((r.flag(), r.u32(), r.i64(), r.text()), (Ok(true), Ok(2), Ok(-3), Ok("é")));
        assert_eq!(Reader::open(&row).expect("sealed").end(), Err(Damage::Form));
        assert_eq!((r.option(Reader::u64), r.option(Reader::u64)), (Ok(Some(4)), Ok(None)));
        assert_eq!(r.u8(), Err(Damage::Form));
        assert_eq!(r.end(), Ok(()));
    }

    #[test]
    fn numbers_are_short_and_have_one_spelling() {
        for (value, bytes) in [(0, 1), (0x7F, 1), (0x80, 2), (1 << 14, 3), (u64::MAX >> 1, 9), (u64::MAX, 10)]
        {
            let row = Writer::new().number(value).seal();
            assert_eq!(row.len(), 1 + bytes + SUM, "{value}");
            assert_eq!(Reader::open(&row).expect("sealed").number(), Ok(value));
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            let row = Writer::new().signed(value).seal();
            assert_eq!(Reader::open(&row).expect("sealed").signed(), Ok(value));
        }
        let over = [[0xFF; 9].as_slice(), &[2]].concat();
        for wrong in [&[0x80, 0][..], &[0xFF; 11], &over, &[0x80]] {
            let row = Writer::new().raw(wrong).seal();
            assert_eq!(Reader::open(&row).expect("sealed").number(), Err(Damage::Form), "{wrong:?}");
        }
        let row = Writer::new().number(1 << 32).seal();
        assert_eq!(Reader::open(&row).expect("sealed").small(), Err(Damage::Form));
    }

    #[test]
    fn damage_is_told() {
        let row = Writer::new().text("abc").seal();
        for bit in 0..row.len() * 8 {
            let mut flipped = row.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Reader::open(&flipped).err(), Some(Damage::Sum), "bit {bit}");
        }
        for cut in 0..row.len() {
            assert_eq!(Reader::open(&row[..cut]).err(), Some(Damage::Sum), "cut at {cut}");
        }
        let named = Writer::new().text("abc").seal_as("d");
        assert_eq!(Reader::open_as("d", &named).expect("sealed").text(), Ok("abc"));
        for wrong in ["", "e", "dd"] {
            assert_eq!(Reader::open_as(wrong, &named).err(), Some(Damage::Sum), "as {wrong:?}");
        }
        let mut newer = vec![VERSION + 1, 7];
        newer.extend(sum(&newer, ""));
        assert_eq!(Reader::open(&newer).err(), Some(Damage::Version(VERSION + 1)));
        let lying = Writer::new().u32(9).raw(b"abc").seal();
        assert_eq!(Reader::open(&lying).expect("sealed").text(), Err(Damage::Form));
        let broken = Writer::new().u32(1).raw(&[0xFF]).u8(2).seal();
        let mut r = Reader::open(&broken).expect("sealed");
        assert_eq!((r.text(), r.flag()), (Err(Damage::Form), Err(Damage::Form)));
    }
}
