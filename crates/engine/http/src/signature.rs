//! Signatures of webhooks.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use limbic_domain::Secret;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// The secret does not have the form that Standard Webhooks requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a signing secret is `whsec_` and 24 to 64 bytes in base64: make one with `echo whsec_$(openssl rand -base64 32)`"
)]
pub struct InvalidSecret;

/// A key that signs webhooks: HMAC-SHA-256 as in Standard Webhooks 1.0.0, "Signature scheme".
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

impl SigningKey {
    /// Reads `whsec_BASE64`.
    pub fn new(secret: &Secret) -> Result<Self, InvalidSecret> {
        let encoded = secret.reveal().strip_prefix("whsec_").ok_or(InvalidSecret)?;
        let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if (24..=64).contains(&key.len()) {
            Ok(Self(key))
        } else {
            Err(InvalidSecret)
        }
    }

    /// The signature header of a message: `v1,` and the HMAC of `id.timestamp.body` in base64. `timestamp` is that of the
    /// attempt, in seconds since the epoch. `id` must not contain a full stop.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        format!(
            "v1,{}",
            STANDARD.encode(self.mac(id, timestamp, body).finalize().into_bytes())
        )
    }

    /// Whether one of the signatures in a header was made with this key. The time of the comparison does not depend on
    /// where they differ.
    pub fn verifies(&self, signatures: &str, id: &str, timestamp: i64, body: &[u8]) -> bool {
        signatures
            .split(' ')
            .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
            .any(|signature| self.mac(id, timestamp, body).verify_slice(&signature).is_ok())
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        mac
    }
}

/// Whether `signature`, in hexadecimal digits, with or without `sha256=` before them, is the HMAC-SHA-256 of `body` with this key.
pub fn is_signed_in_hex(key: &Secret, signature: &str, body: &[u8]) -> bool {
    let digits = signature.trim();
    let digits = digits.strip_prefix("sha256=").unwrap_or(digits);
    bytes(digits).is_some_and(|signature| mac::<Hmac<Sha256>>(key, body).verify_slice(&signature).is_ok())
}

/// Whether `signature`, as a hub of `WebSub` states it in `X-Hub-Signature`, is the HMAC of `body` with this key: the name of a method
/// (`sha1`, `sha256`, `sha384` or `sha512`), `=`, and hexadecimal digits. W3C Recommendation of 2018-01-23, section "Authenticated Content
/// Distribution".
pub fn is_signed_by_hub(key: &Secret, signature: &str, body: &[u8]) -> bool {
    let Some((method, digits)) = signature.trim().split_once('=') else {
        return false;
    };
    let Some(signature) = bytes(digits) else {
        return false;
    };
    let is_right = match method.to_ascii_lowercase().as_str() {
        "sha1" => mac::<Hmac<Sha1>>(key, body).verify_slice(&signature),
        "sha256" => mac::<Hmac<Sha256>>(key, body).verify_slice(&signature),
        "sha384" => mac::<Hmac<Sha384>>(key, body).verify_slice(&signature),
        "sha512" => mac::<Hmac<Sha512>>(key, body).verify_slice(&signature),
        _ => return false,
    };
    is_right.is_ok()
}

/// A text that only the owner of this key can make of `body`: its HMAC-SHA-256, as 64 hexadecimal digits.
pub fn sign_in_hex(key: &Secret, body: &[u8]) -> String {
    let mac = mac::<Hmac<Sha256>>(key, body).finalize().into_bytes();
    mac.iter()
        .fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"))
}

fn mac<M: Mac + KeyInit>(key: &Secret, body: &[u8]) -> M {
    let mut mac =
        <M as KeyInit>::new_from_slice(key.reveal().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    mac
}

/// The bytes that hexadecimal digits state. A signature of another length than that of its method is not the right one.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let is_hex = digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    is_hex.then(|| digits.as_bytes().chunks(2).map(byte).collect())?
}

/// Whether somebody gave this secret. Hashes are compared, so the time does not depend on where the texts differ.
pub fn is_same_secret(secret: &Secret, given: &str) -> bool {
    Sha256::digest(secret.reveal().as_bytes()) == Sha256::digest(given.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vector of the specification's own libraries.
    #[test]
    fn a_signature_equals_the_test_vector_of_standard_webhooks() {
        let key = SigningKey::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let (id, timestamp, body) = (
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        let signature = key.sign(id, timestamp, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(key.verifies(&format!("v1,AAAA v2,x {signature}"), id, timestamp, body));
        assert!(!key.verifies(&signature, id, timestamp + 1, body));
        assert!(!key.verifies(&signature, "msg_other", timestamp, body));
        assert!(!key.verifies("v1,AAAA", id, timestamp, body));
    }

    #[test]
    fn a_signing_key_is_never_printed() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_eq!(
            format!("{:?}", SigningKey::new(&secret).unwrap()),
            "SigningKey(***)"
        );
    }

    #[test]
    fn a_secret_that_is_too_short_or_in_another_form_is_refused() {
        for bad in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_c2hvcnQ=",
            "whsec_!!!!",
            "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert!(SigningKey::new(&Secret::new(bad)).is_err(), "{bad}");
        }
    }

    /// The second test case of RFC 4231.
    #[test]
    fn a_signature_in_hexadecimal_digits_equals_the_test_case_of_rfc_4231() {
        let key = Secret::new("Jefe");
        let body = b"what do ya want for nothing?";
        let signature = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(is_signed_in_hex(&key, signature, body));
        assert!(is_signed_in_hex(
            &key,
            &format!("sha256={}", signature.to_uppercase()),
            body
        ));
        for wrong in [
            "",
            "sha256=",
            &signature[..62],
            &signature.replace('5', "6"),
            &format!("+{}", &signature[1..]),
        ] {
            assert!(!is_signed_in_hex(&key, wrong, body), "{wrong}");
        }
        assert!(!is_signed_in_hex(
            &key,
            signature,
            b"what do ya want for something?"
        ));
        assert!(!is_signed_in_hex(&Secret::new("jefe"), signature, body));
    }

    /// The second test case of RFC 2202 and of RFC 4231.
    #[test]
    fn a_signature_of_a_hub_equals_the_test_cases_with_the_method_that_it_states() {
        let key = Secret::new("Jefe");
        let body = b"what do ya want for nothing?";
        let signatures = [
            "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "sha384=af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            "sha512=164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ];
        for signature in signatures {
            assert!(is_signed_by_hub(&key, signature, body), "{signature}");
            assert!(
                is_signed_by_hub(&key, &signature.to_uppercase(), body),
                "{signature}"
            );
            assert!(
                !is_signed_by_hub(&key, signature, b"something else"),
                "{signature}"
            );
            assert!(
                !is_signed_by_hub(&Secret::new("jefe"), signature, body),
                "{signature}"
            );
            assert!(
                !is_signed_by_hub(&key, &signature[..signature.len() - 2], body),
                "{signature}"
            );
        }
        let (_, digits) = signatures[1].split_once('=').unwrap();
        for wrong in [
            "",
            "sha1=",
            "md5=00",
            "sha256",
            digits,
            &format!("sha1={digits}"),
            &format!("sha256=+{}", &digits[1..]),
        ] {
            assert!(!is_signed_by_hub(&key, wrong, body), "{wrong}");
        }
        assert_eq!(sign_in_hex(&key, body), digits);
    }

    #[test]
    fn a_secret_is_the_same_as_itself_only() {
        let secret = Secret::new("open sesame");
        assert!(is_same_secret(&secret, "open sesame"));
        assert!(!is_same_secret(&secret, "open sesam") && !is_same_secret(&secret, ""));
    }
}
