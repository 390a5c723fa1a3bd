//! Is a match really what its rule says? Decided offline, from the bytes alone.
//!
//! Invariant: a validation is total and bounded by the span its rule asked for; it rejects what is provably no secret
//! (structure, checksum, placeholder) and accepts the rest. It may move the end of the secret: an expression finds the
//! beginning of a key, the validation its end. Called by `engine` for each match of a rule's expression.

mod account;
mod address;
mod binary;
mod checksum;
mod encoded;
mod keystore;
mod known;
mod pem;
mod ssh;
mod token;
mod value;

use std::ops::Range;

use super::redact::Secret;
use crate::model::LoweredBy;

/// How a match is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Validation {
    /// A PEM private key whose body decodes to the structure its label names, and is not encrypted.
    PemPlain,
    /// The same, encrypted with a passphrase.
    PemEncrypted,
    /// Base64 of a PEM private key.
    PemBase64,
    /// An ASCII-armoured `OpenPGP` private key.
    Armor,
    /// A `PuTTY` private key file, unencrypted.
    Putty,
    /// A Java keystore whose first entry is a private key.
    JavaKeystore,
    /// PKCS #12 in DER.
    Pkcs12,
    /// `GitHub`'s and npm's checksum: the last six characters are the CRC-32 of those before.
    Crc32Base62,
    /// Base64 of `user:password`.
    BasicAuth,
    /// Base64 of 64 bytes.
    Base64Of64,
    /// Base64 of 32 bytes.
    Base64Of32,
    /// A hash of crypt(5).
    CryptHash,
    /// A line of htpasswd(1).
    Htpasswd,
    /// A JSON web token of a Kubernetes service account.
    ServiceAccountJwt,
    /// A `PyPI` macaroon.
    PypiMacaroon,
    /// Forty characters as random as an AWS secret access key.
    AwsSecret,
    /// `SSH.COM`'s private key format.
    Ssh2,
    /// A PEM key with a label of its own and random bytes inside.
    PemRaw,
    /// PEM around an encrypted key in JSON.
    PemJson,
    /// A `PuTTY` private key file, encrypted.
    PuttyEncrypted,
    /// A key in `GnuPG`'s S-expressions.
    Sexp,
    /// An `OpenPGP` secret-key packet.
    OpenpgpPacket,
    /// A keystore of Bouncy Castle.
    BouncyCastle,
    /// A Kerberos keytab.
    Keytab,
    /// Bytes that look random from the group on.
    RandomBytes,
    /// Bech32 with its checksum.
    Bech32,
    /// Base58 with its checksum.
    Base58Check,
    /// Secret keys of minisign and signify.
    SignerKey,
    /// A key of `OpenVPN`.
    OpenvpnKey,
    /// Base64 of any random bytes.
    Base64Random,
    /// Base64 of a private key in DER.
    Base64Der,
    /// The body of an Ansible vault.
    AnsibleVault,
    /// A value of a Kubernetes `Secret`.
    SecretData,
    /// A JSON web token.
    Jwt,
    /// A token that has to look random and not like an example.
    Token,
    /// A password by its place: anything but a placeholder.
    Password,
    /// A password in an address.
    AddressPassword,
    /// A value by its name only: not a placeholder, path, number, or piece of code.
    GenericValue,
}

/// A match of a rule's expression.
#[derive(Clone)]
pub(super) struct Match<'a> {
    /// What the expression ran over.
    pub(super) haystack: &'a [u8],
    /// The match.
    pub(super) whole: Range<usize>,
    /// Its group `secret`.
    pub(super) secret: Range<usize>,
}

impl<'a> Match<'a> {
    /// The bytes of the group.
    fn bytes(&self) -> &'a [u8] {
        self.haystack.get(self.secret.clone()).unwrap_or_default()
    }

    /// From the group's first byte to the end of what may be read.
    fn tail(&self) -> &'a [u8] {
        self.haystack.get(self.secret.start..).unwrap_or_default()
    }

    /// The secret is the first `length` bytes of the tail.
    fn accept(&self, length: usize, canonical: Vec<u8>) -> Accepted {
        Accepted {
            secret: self.secret.start..self.secret.start + length,
            canonical: Secret::new(canonical),
            known: None,
        }
    }

    /// The secret is the group.
    fn accept_group(&self) -> Accepted {
        self.accept(self.secret.len(), self.bytes().to_vec())
    }
}

/// A match that stood.
pub(super) struct Accepted {
    /// Where the secret lies.
    pub(super) secret: Range<usize>,
    /// The secret in the form that is the same wherever it occurs: decoded, without line breaks.
    pub(super) canonical: Secret,
    /// Whether everybody knows it.
    pub(super) known: Option<LoweredBy>,
}

impl Validation {
    /// The secret if the match stands.
    pub(super) fn judge(self, matched: &Match<'_>) -> Option<Accepted> {
        if known::is_sample(matched.bytes()) {
            let known = Some(LoweredBy::DocumentedSample);
            return Some(Accepted {
                known,
                ..matched.accept_group()
            });
        }
        let mut accepted = self.examine(matched)?;
        accepted.known = known::is_published(accepted.canonical.bytes()).then_some(LoweredBy::PublishedKey);
        Some(accepted)
    }

    fn examine(self, matched: &Match<'_>) -> Option<Accepted> {
        match self {
            Self::PemPlain => pem::judge(matched, false),
            Self::PemEncrypted => pem::judge(matched, true),
            Self::PemBase64 => pem::judge_base64(matched),
            Self::Armor => pem::judge_armor(matched),
            Self::Putty => ssh::judge_putty(matched, false),
            Self::JavaKeystore => keystore::judge_java(matched),
            Self::Pkcs12 => keystore::judge_pkcs12(matched),
            Self::Crc32Base62 => checksum::is_crc32_base62(matched.haystack.get(matched.whole.clone())?)
                .then(|| matched.accept_group()),
            Self::BasicAuth => account::judge_basic_auth(matched),
            Self::Base64Of64 => token::judge_base64(matched, 64),
            Self::Base64Of32 => token::judge_base64(matched, 32),
            Self::CryptHash => account::is_crypt_hash(matched.bytes()).then(|| matched.accept_group()),
            Self::Htpasswd => account::is_htpasswd(matched.bytes()).then(|| matched.accept_group()),
            Self::ServiceAccountJwt => token::judge_service_account(matched),
            Self::PypiMacaroon => token::judge_pypi(matched),
            Self::AwsSecret => token::is_aws_secret(matched.bytes()).then(|| matched.accept_group()),
            Self::Ssh2 => pem::judge_ssh2(matched),
            Self::PemRaw => pem::judge_raw(matched),
            Self::PemJson => pem::judge_json(matched),
            Self::PuttyEncrypted => ssh::judge_putty(matched, true),
            Self::Sexp => binary::judge_sexp(matched),
            Self::OpenpgpPacket => binary::judge_openpgp(matched),
            Self::BouncyCastle => binary::judge_bouncy_castle(matched),
            Self::Keytab => binary::judge_keytab(matched),
            Self::RandomBytes => binary::judge_random(matched),
            Self::Bech32 => encoded::judge_bech32(matched),
            Self::Base58Check => encoded::judge_base58(matched),
            Self::SignerKey => encoded::judge_signer(matched),
            Self::OpenvpnKey => encoded::judge_openvpn(matched),
            Self::Base64Random => encoded::judge_base64(matched),
            Self::Base64Der => encoded::judge_base64_der(matched),
            Self::AnsibleVault => encoded::judge_vault(matched),
            Self::SecretData => encoded::judge_secret_data(matched),
            Self::Jwt => token::judge_jwt(matched),
            Self::Token => token::judge(matched),
            Self::Password => value::is_password(matched.bytes()).then(|| matched.accept_group()),
            Self::AddressPassword => address::judge(matched),
            Self::GenericValue => value::is_generic(matched.bytes()).then(|| matched.accept_group()),
        }
    }
}
