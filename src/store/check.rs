//! How a store is to notice that a body is not what was sent. The probe tells what it verifies: SHA-256 costs nothing,
//! as the bytes are hashed with it anyway; CRC-64/NVME little; and Content-MD5 is what is left.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>

use crate::model::Capabilities;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType};
use base64::{Engine, prelude::BASE64_STANDARD};
use crc_fast::CrcAlgorithm;
use md5::Md5;
use sha2::{Digest, Sha256};

/// What goes with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// `x-amz-checksum-sha256`.
    Sha256,
    /// `x-amz-checksum-crc64nvme`.
    Crc64,
    /// `Content-MD5`.
    Md5,
}

impl Check {
    /// The cheapest that the store verifies. Content-MD5 if it verifies none: the tag of its answer may be an MD5, too.
    pub(super) fn of(can: Capabilities) -> Self {
        match can {
            Capabilities { verifies_sha256: true, .. } => Self::Sha256,
            Capabilities { verifies_crc64: true, .. } => Self::Crc64,
            _ => Self::Md5,
        }
    }

    /// What an upload in parts is to be created with.
    pub(super) fn algorithm(self) -> Option<ChecksumAlgorithm> {
        match self {
            Self::Sha256 => Some(ChecksumAlgorithm::Sha256),
            Self::Crc64 => Some(ChecksumAlgorithm::Crc64Nvme),
            Self::Md5 => None,
        }
    }

    /// Of the whole or, if that is not said, of the parts' checksums.
    pub(super) fn kind(self) -> Option<ChecksumType> {
        (self == Self::Crc64).then_some(ChecksumType::FullObject)
    }
}

/// What a request says of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Sha256([u8; 32]),
    Crc64(u64),
    Md5([u8; 16]),
}

impl Proof {
    /// Which it is.
    pub(super) fn check(&self) -> Check {
        match self {
            Self::Sha256(_) => Check::Sha256,
            Self::Crc64(_) => Check::Crc64,
            Self::Md5(_) => Check::Md5,
        }
    }

    /// The header `x-amz-checksum-sha256`.
    pub(super) fn sha256(&self) -> Option<String> {
        (self.check() == Check::Sha256).then(|| self.header().1)
    }

    /// The header `x-amz-checksum-crc64nvme`.
    pub(super) fn crc64(&self) -> Option<String> {
        (self.check() == Check::Crc64).then(|| self.header().1)
    }

    /// The header `Content-MD5`.
    pub(super) fn md5(&self) -> Option<String> {
        (self.check() == Check::Md5).then(|| self.header().1)
    }

    /// Name and value of its header.
    pub(super) fn header(&self) -> (&'static str, String) {
        match self {
            Self::Sha256(sum) => ("x-amz-checksum-sha256", BASE64_STANDARD.encode(sum)),
            Self::Crc64(sum) => ("x-amz-checksum-crc64nvme", BASE64_STANDARD.encode(sum.to_be_bytes())),
            Self::Md5(sum) => ("content-md5", BASE64_STANDARD.encode(sum)),
        }
    }
}

/// What is computed of a body as it is read: our digest of it, and what goes with it.
pub(super) struct Sums {
    sha256: Sha256,
    crc64: Option<crc_fast::Digest>,
    md5: Option<Md5>,
}

impl Sums {
    pub(super) fn new(check: Check) -> Self {
        Self {
            sha256: Sha256::new(),
            crc64: (check == Check::Crc64).then(|| crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)),
            md5: (check == Check::Md5).then(Md5::new),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(crc64) = &mut self.crc64 {
            crc64.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// The SHA-256, and what goes with the body.
    pub(super) fn finish(self) -> ([u8; 32], Proof) {
        let sha256 = self.sha256.finalize().into();
        let proof = match (self.crc64, self.md5) {
            (Some(crc64), _) => Proof::Crc64(crc64.finalize()),
            (_, Some(md5)) => Proof::Md5(md5.finalize().into()),
            _ => Proof::Sha256(sha256),
        };
        (sha256, proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c50_the_cheapest_check_that_is_verified_is_chosen() {
        for (sha256, crc64, md5, want) in [
            (true, true, true, Check::Sha256),
            (false, true, true, Check::Crc64),
            (false, false, true, Check::Md5),
            (false, false, false, Check::Md5),
            (true, false, false, Check::Sha256),
        ] {
            let can = Capabilities {
                verifies_sha256: sha256,
                verifies_crc64: crc64,
                verifies_md5: md5,
                ..Capabilities::default()
            };
            assert_eq!(Check::of(can), want, "{can:?}");
        }
    }

    #[test]
    fn each_proof_is_the_one_header_of_its_kind() {
        for (check, name, value) in [
            (Check::Sha256, "x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
            // the check value of CRC-64/NVME, ae8b14860a799888
            (Check::Crc64, "x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
            (Check::Md5, "content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="),
        ] {
            let mut sums = Sums::new(check);
            sums.update(b"1234");
            sums.update(b"56789");
            let (sha256, proof) = sums.finish();
            assert_eq!(proof.header(), (name, value.to_owned()));
            assert_eq!(sha256[..2], [0x15, 0xe2]);
            let all = [proof.sha256(), proof.crc64(), proof.md5()];
            assert_eq!(all.iter().flatten().count(), 1);
            assert_eq!(proof.check(), check);
        }
    }
}
