//! Signatures: who learned a delta.
//!
//! In: 32-byte keys of Ed25519. Devices verify; hosts sign, since a device that could would hold a secret.
//!
//! # Source
//! RFC 8032, "Edwards-Curve Digital Signature Algorithm", Ed25519 without context or prehash.

use super::{Delta, DeltaError, SIGNATURE_BYTES, crc32, header};

impl Delta<'_> {
    /// Whether the signature is that of `public_key`.
    ///
    /// # Errors
    /// When there is none, when the key is none, or when it is another's.
    pub fn verify(&self, public_key: &[u8; 32]) -> Result<(), DeltaError> {
        let message = self.unsigned();
        let signature = self.bytes.get(message.len()..).and_then(|bytes| bytes.first_chunk());
        verify(public_key, message, signature.ok_or(DeltaError::Unsigned)?)
    }

    /// Signs the delta at the start of `buffer`, which starts at a multiple of 16 and has room for 64 bytes behind it; an
    /// older signature is replaced. Returns the new length in bytes.
    ///
    /// # Errors
    /// When there is no sound delta, or no room.
    pub fn sign(buffer: &mut [u8], secret_key: &[u8; 32]) -> Result<usize, DeltaError> {
        let len = Delta::parse(buffer)?.unsigned().len();
        let (need, have) = (len + SIGNATURE_BYTES, buffer.len());
        let signed = buffer.get_mut(..need).ok_or(DeltaError::BufferTooSmall { need, have })?;
        let (file, place) = signed.split_at_mut(len);
        file[header::SIGNED] = 1;
        let crc = crc32(file);
        file[header::CRC32..header::CRC32 + 4].copy_from_slice(&crc.to_le_bytes());
        place.copy_from_slice(&sign(secret_key, file));
        Ok(need)
    }
}

/// The public half of a secret key.
pub fn public_key(secret_key: &[u8; 32]) -> [u8; 32] {
    *salty::Keypair::from(secret_key).public.as_bytes()
}

/// The signature of any message.
pub fn sign(secret_key: &[u8; 32], message: &[u8]) -> [u8; SIGNATURE_BYTES] {
    salty::Keypair::from(secret_key).sign(message).to_bytes()
}

/// Whether a signature of any message is that of `public_key`.
///
/// # Errors
/// When the key is none, or the signature another's.
pub fn verify(
    public_key: &[u8; 32],
    message: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<(), DeltaError> {
    // RFC 8032, section 5.1.7: S is less than the group's order, or each signature would have a second form. salty leaves it
    // to the caller.
    let (_, s) = signature.split_at(32);
    if !s.iter().rev().lt(ORDER.iter().rev()) {
        return Err(DeltaError::BadSignature);
    }
    let key = salty::PublicKey::try_from(public_key).map_err(|_| DeltaError::BadKey)?;
    key.verify(message, &salty::Signature::from(signature)).map_err(|_| DeltaError::BadSignature)
}

/// The order of the base point, 2^252 + 27742317777372353535851937790883648493, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hexadecimal"))
            .collect()
    }

    fn array<const N: usize>(hex: &str) -> [u8; N] {
        bytes(hex).try_into().expect("as long as it is")
    }

    /// RFC 8032, section 7.1, tests 1 to 3: secret key, public key, message, signature.
    const VECTORS: [[&str; 4]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ],
    ];

    #[test]
    fn vectors_of_rfc_8032() {
        for [secret, public, message, signature] in VECTORS {
            let (secret, public, message) = (array(secret), array(public), bytes(message));
            assert_eq!(public_key(&secret), public);
            assert_eq!(sign(&secret, &message), array(signature));
            assert_eq!(verify(&public, &message, &array(signature)), Ok(()));
        }
    }

    #[test]
    fn a_signature_has_one_form() {
        let [_, public, message, signature] = VECTORS[2];
        let (public, message, signature) = (array(public), bytes(message), array::<64>(signature));
        // S + L is the same number modulo the order, and would be accepted without the check.
        let mut second = signature;
        let mut carry = 0;
        for (s, order) in second[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*s) + u16::from(order) + carry;
            (*s, carry) = (sum as u8, sum >> 8);
        }
        assert_eq!(carry, 0);
        let accepted = salty::PublicKey::try_from(&public)
            .and_then(|key| key.verify(&message, &salty::Signature::from(&second)));
        assert!(accepted.is_ok());
        assert_eq!(verify(&public, &message, &second), Err(DeltaError::BadSignature));
    }

    #[test]
    fn any_bytes_are_a_key_or_none() {
        let [_, _, message, signature] = VECTORS[1];
        let (message, signature) = (bytes(message), array(signature));
        let (mut none, mut others) = (0, 0);
        for fill in 0..=255 {
            match verify(&[fill; 32], &message, &signature) {
                Err(DeltaError::BadKey) => none += 1,
                Err(DeltaError::BadSignature) => others += 1,
                verdict => panic!("{verdict:?} with a key of {fill}"),
            }
        }
        assert!(none > 0 && others > 0);
    }
}
