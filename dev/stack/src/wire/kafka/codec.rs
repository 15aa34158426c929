//! Numbers, strings and arrays as Kafka writes them. In: values or bytes; out: bytes or values. It
//! knows no request.

#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn i8(&mut self, value: i8) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn i16(&mut self, value: i16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Cut at the length a name can have in the protocol, far beyond any real one.
    pub(super) fn string(&mut self, text: &str) {
        let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
        self.i16(length);
        self.0
            .extend_from_slice(&text.as_bytes()[..usize::from(length.unsigned_abs())]);
    }

    #[cfg(test)]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn array<T: Copy>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, T)) {
        self.i32(i32::try_from(items.len()).unwrap_or(i32::MAX));
        items.iter().for_each(|item| each(self, *item));
    }
}

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or("an answer that ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?
            .try_into()
            .map_err(|_| "an answer that ends early".to_owned())
    }

    pub(super) fn i8(&mut self) -> Result<i8, String> {
        self.array_of().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, String> {
        self.array_of().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, String> {
        self.array_of().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, String> {
        self.array_of().map(i64::from_be_bytes)
    }

    pub(super) fn string(&mut self) -> Result<Option<String>, String> {
        match usize::try_from(self.i16()?) {
            Err(_) => Ok(None),
            Ok(length) => self
                .take(length)
                .map(|text| Some(String::from_utf8_lossy(text).into_owned())),
        }
    }

    pub(super) fn array<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let count = self.i32()?.max(0);
        (0..count).map(|_| each(self)).collect()
    }
}
