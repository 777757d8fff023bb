//! CRC-32/ISO-HDLC, of a file and of what it draws.

/// The checksum of parts that follow each other.
pub fn crc32<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> u32 {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = CRC.digest();
    parts.into_iter().for_each(|part| digest.update(part.as_ref()));
    digest.finalize()
}
