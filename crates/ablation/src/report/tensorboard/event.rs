//! The format of event files: records with checksums around protocol buffers.
//!
//! A record is its length (eight bytes), the masked CRC-32C of these eight bytes, the message, and the masked CRC-32C
//! of the message; numbers are little-endian. Messages are those of TensorFlow's `event.proto`, `summary.proto` and
//! `tensor.proto`, and TensorBoard's `plugins/hparams/plugin_data.proto`; the few fields that we need are written by
//! hand. Kept crates write to a path of their own with the time of day; we need bytes that are a function of the
//! summary.

/// A file under construction: one run of TensorBoard.
pub(super) struct Events(Vec<u8>);

/// A value of a hyperparameter.
pub(super) enum Parameter<'t> {
    Text(&'t str),
    Number(f64),
}

/// Wire types of protocol buffers.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const BYTES: u64 = 2;

/// `DataType` of `types.proto`.
const FLOAT: u64 = 1;
const DOUBLE: u64 = 2;

/// `DataClass` of `summary.proto`.
const SCALAR: u64 = 1;
const TENSOR: u64 = 2;

/// `STATUS_SUCCESS` of `hparams/api.proto`.
const SUCCESS: u64 = 1;

impl Events {
    /// A file with the version that readers ask for.
    pub(super) fn new() -> Events {
        let mut file = Events(Vec::new());
        let mut event = Message::default();
        event.bytes(3, b"brain.Event:2");
        file.record(&event);
        file
    }

    /// A number at a step, as a tensor of 64 bits: the older `simple_value` has 32.
    pub(super) fn scalar(&mut self, tag: &str, step: i64, value: f64) {
        let mut tensor = Message::default();
        tensor.varint(1, DOUBLE);
        tensor.message(2, &Message::default());
        tensor.bytes(6, &value.to_le_bytes());
        self.value(tag, step, ("scalars", &[], SCALAR), &tensor);
    }

    /// The hyperparameters of this run, and that it has ended.
    pub(super) fn hyperparameters(&mut self, parameters: &[(&str, Parameter<'_>)]) {
        let mut begun = Message::default();
        for (name, value) in parameters {
            let mut boxed = Message::default();
            match value {
                Parameter::Number(number) => boxed.double(2, *number),
                Parameter::Text(text) => boxed.bytes(3, text.as_bytes()),
            }
            let mut entry = Message::default();
            entry.bytes(1, name.as_bytes());
            entry.message(2, &boxed);
            begun.message(1, &entry);
        }
        let mut ended = Message::default();
        ended.varint(1, SUCCESS);
        for (tag, field, info) in [
            ("_hparams_/session_start_info", 3, &begun),
            ("_hparams_/session_end_info", 4, &ended),
        ] {
            let mut data = Message::default();
            data.message(field, info);
            // An empty tensor stands where others have numbers.
            let mut shape = Message::default();
            shape.message(2, &Message::default());
            let mut tensor = Message::default();
            tensor.varint(1, FLOAT);
            tensor.message(2, &shape);
            self.value(tag, 0, ("hparams", &data.0, TENSOR), &tensor);
        }
    }

    /// The bytes of the file.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn value(
        &mut self,
        tag: &str,
        step: i64,
        (plugin, content, class): (&str, &[u8], u64),
        tensor: &Message,
    ) {
        let mut data = Message::default();
        data.bytes(1, plugin.as_bytes());
        data.bytes(2, content);
        let mut metadata = Message::default();
        metadata.message(1, &data);
        metadata.varint(4, class);
        let mut value = Message::default();
        value.bytes(1, tag.as_bytes());
        value.message(8, tensor);
        value.message(9, &metadata);
        let mut summary = Message::default();
        summary.message(1, &value);
        let mut event = Message::default();
        event.varint(2, step.cast_unsigned());
        event.message(5, &summary);
        self.record(&event);
    }

    fn record(&mut self, message: &Message) {
        let length = (message.0.len() as u64).to_le_bytes();
        for part in [&length[..], &message.0] {
            self.0.extend(part);
            self.0.extend(masked(crc32c(part)).to_le_bytes());
        }
    }
}

/// A protocol buffer under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u64, wire: u64) {
        self.raw(field << 3 | wire);
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    fn raw(&mut self, mut number: u64) {
        while 0x80 <= number {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn varint(&mut self, field: u64, number: u64) {
        self.key(field, VARINT);
        self.raw(number);
    }

    fn double(&mut self, field: u64, number: f64) {
        self.key(field, EIGHT_BYTES);
        self.0.extend(number.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, BYTES);
        self.raw(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }
}

/// The CRC of Castagnoli's polynomial, bits reversed.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg())
        })
    })
}

/// A checksum of data that hold checksums must not look like one.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked(0), 0xa282_ead8);
    }

    #[test]
    fn numbers_of_any_size_are_written() {
        let mut message = Message::default();
        message.varint(1, 150);
        message.varint(2, u64::MAX);
        // 150 is the example of the protocol buffers' own documentation.
        assert_eq!(message.0[..3], [0x08, 0x96, 0x01]);
        assert_eq!(
            message.0[3..],
            [[0x10].as_slice(), &[0xff; 9], &[0x01]].concat()
        );
    }

    #[test]
    fn a_file_begins_with_its_version() {
        let file = Events::new().finish();
        // Field 3 of 13 bytes: a record of 15.
        assert_eq!(file[..8], 15_u64.to_le_bytes());
        assert_eq!(file[12..14], [0x1a, 13]);
        assert_eq!(file[14..27], *b"brain.Event:2");
        assert_eq!(file.len(), 8 + 4 + 15 + 4);
    }
}
