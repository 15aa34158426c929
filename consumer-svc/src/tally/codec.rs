//! Pure: numbers as few bytes. The packed parts of the stored document are made of it.

use purchases::Cents;

use super::Sold;

/// Bytes that this version has not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packed numbers end early or are out of range")]
pub(super) struct Malformed;

/// Packs numbers, seven bits a byte, the lowest first.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn unsigned(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Small numbers of either sign stay small.
    pub(super) fn signed(&mut self, number: i64) {
        self.unsigned(((number << 1) ^ (number >> 63)) as u64);
    }

    pub(super) fn sold(&mut self, sold: Sold) {
        self.unsigned(sold.purchases);
        self.unsigned(sold.revenue.get().unsigned_abs());
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Unpacks what [`Writer`] packed.
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, Malformed> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    pub(super) fn signed(&mut self) -> Result<i64, Malformed> {
        let number = self.unsigned()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn sold(&mut self) -> Result<Sold, Malformed> {
        let purchases = self.unsigned()?;
        let cents = i64::try_from(self.unsigned()?).map_err(|_| Malformed)?;
        let revenue = Cents::new(cents).ok_or(Malformed)?;
        Ok(Sold { purchases, revenue })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back_as_they_went(unsigned: u64, signed: i64, cents in 0i64.., byte: u8) {
            let sold = Sold { purchases: unsigned, revenue: Cents::new(cents).unwrap() };
            let mut out = Writer::default();
            out.unsigned(unsigned);
            out.signed(signed);
            out.sold(sold);
            out.byte(byte);
            let bytes = out.done();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.unsigned(), Ok(unsigned));
            prop_assert_eq!(reader.signed(), Ok(signed));
            prop_assert_eq!(reader.sold(), Ok(sold));
            prop_assert_eq!(reader.byte(), Ok(byte));
            prop_assert!(reader.is_empty());
            prop_assert_eq!(reader.unsigned(), Err(Malformed));
        }

        #[test]
        fn foreign_bytes_are_refused_or_read_and_never_a_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.signed().is_ok() {}
            let mut reader = Reader::new(&bytes);
            while reader.sold().is_ok() {}
        }
    }
}
