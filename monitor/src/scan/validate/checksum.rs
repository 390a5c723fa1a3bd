//! Checksums inside tokens.
//!
//! Invariant: total; a token of another length is no match. Source of the format: GitHub's "Behind GitHub's new
//! authentication token formats" (2021): six base62 digits of the CRC-32 of the random part; npm uses the same.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether `prefix_` + 30 characters is followed by their checksum.
pub(super) fn is_crc32_base62(token: &[u8]) -> bool {
    let Some(at) = token.iter().position(|b| *b == b'_') else {
        return false;
    };
    let body = token.get(at + 1..).unwrap_or_default();
    let Some((random, digits)) = body.split_last_chunk::<6>() else {
        return false;
    };
    random.len() == 30 && base62(digits) == Some(u64::from(crc32(random)))
}

fn base62(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        let position = ALPHABET.iter().position(|b| b == digit)?;
        value.checked_mul(62)?.checked_add(u64::try_from(position).ok()?)
    })
}

/// CRC-32 as in ISO 3309 and zlib, bit by bit: the input is 30 bytes.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(base62(b"00000z"), Some(61));
        assert_eq!(base62(b"-"), None);
    }

    #[test]
    fn one_changed_character_is_refused() {
        let random = "k3Jd8sQpZ1mN5vBx7RtYwE2uHgLcFa";
        let mut value = u64::from(crc32(random.as_bytes()));
        let mut digits = [0u8; 6];
        for digit in digits.iter_mut().rev() {
            *digit = ALPHABET[usize::try_from(value % 62).unwrap()];
            value /= 62;
        }
        let good = format!("ghp_{random}{}", std::str::from_utf8(&digits).unwrap());
        assert!(is_crc32_base62(good.as_bytes()));
        for bad in [
            good.replace("k3J", "k3K"),
            format!("{good}0"),
            "ghp_".to_owned(),
            String::new(),
        ] {
            assert!(!is_crc32_base62(bad.as_bytes()), "{bad}");
        }
    }
}
