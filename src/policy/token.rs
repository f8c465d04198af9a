//! Grants as they travel: JWTs signed with Ed25519. Whoever holds public keys can verify a token,
//! and nobody without the private key can mint one.
//!
//! A token is a closed world. Algorithm, header fields, issuer, audience and the version of the
//! private claim are fixed, and a claim that is not known is refused rather than ignored: what a
//! newer dapple restricts must never be widened by an older one. Every claim must be there but those
//! that narrow a grant: a token made before they were known has none of them, and stays good.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::model::account::AccountName;
use crate::model::id::{DecisionId, EndpointId, GrantId};
use crate::model::time::Timestamp;
use crate::policy::grant::{Grant, GrantError, Method, Mode, Target};
use crate::policy::seal::PlaceKey;

#[cfg(test)]
mod tests;

/// Who issues tokens: the claim `iss`.
pub const ISSUER: &str = "dapple";
/// Whom tokens are for: the claim `aud`.
pub const AUDIENCE: &str = "dapple";
/// The longest token, so that a URL with one fits the limits of common servers and proxies.
pub const TOKEN_BYTES_MAX: usize = 2 << 10;

/// The version of the private claim.
const VERSION: u8 = 1;
/// How far a gateway's clock may lag behind the issuer's.
const NOT_BEFORE_LEEWAY: Duration = Duration::from_secs(30);
/// What stands before the 32 bytes of an Ed25519 private key in PKCS#8 (RFC 8410).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The raw bytes of an Ed25519 public key.
pub type PublicKey = [u8; 32];

/// The name of a public key: the first 8 bytes of its BLAKE3 hash, in hexadecimal digits.
pub fn key_id(key: &PublicKey) -> String {
    blake3::hash(key).to_hex()[..16].to_owned()
}

/// A private key that mints tokens.
#[derive(Clone)]
pub struct SigningKey {
    private: EncodingKey,
    public: PublicKey,
    header: Header,
    places: PlaceKey,
}

impl SigningKey {
    /// The key that belongs to 32 secret random bytes. Keeping them is up to the caller.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let mut pkcs8 = PKCS8_HEAD.to_vec();
        pkcs8.extend_from_slice(&seed);
        let private = EncodingKey::from_ed_der(&pkcs8);
        let public = public_key_of(&private);
        Self { private, public, header: header(&key_id(&public)), places: PlaceKey::derive(&seed) }
    }

    /// The public half, which verifies.
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The name under which verifiers know it.
    pub fn key_id(&self) -> String {
        key_id(&self.public)
    }

    /// The key that seals places, which belongs to the same secret.
    pub fn places(&self) -> &PlaceKey {
        &self.places
    }

    /// Signs a grant. Refuses one that could never be used, and one whose name makes the token
    /// longer than a URL should be.
    pub fn mint(&self, grant: &Grant) -> Result<String, GrantError> {
        check_sense(grant)?;
        let token = jsonwebtoken::encode(&self.header, &Claims::from(grant), &self.private)
            .expect("the key is an Ed25519 key and claims are plain JSON");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TOO_LONG);
        }
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}

fn public_key_of(private: &EncodingKey) -> PublicKey {
    let jwk = Jwk::from_encoding_key(private, Algorithm::EdDSA).expect("a seed of 32 bytes has a public key");
    let key = DecodingKey::from_jwk(&jwk).expect("a JWK made above is well formed");
    let bytes = key.try_get_as_bytes().expect("an Ed25519 key is kept as bytes");
    bytes.try_into().expect("an Ed25519 public key has 32 bytes")
}

/// The public keys whose tokens are accepted.
#[derive(Clone)]
pub struct Verifier {
    keys: BTreeMap<String, DecodingKey>,
    validation: Validation,
}

impl Verifier {
    /// Trusts these keys and no others. Several let keys change with an overlap.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        // The library accepts a token without `aud` or `iss` unless they are named here.
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // It would ask the machine for the time; `check_time` judges by the time handed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { keys: keys.into_iter().map(|key| (key_id(&key), DecodingKey::from_ed_der(&key))).collect(), validation }
    }

    /// Reads a token, and returns its grant if it was signed with a trusted key and holds at `now`.
    /// What it permits and whether it was revoked is for the caller to ask.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Grant, GrantError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TOO_LONG);
        }
        let malformed = |why| GrantError::Malformed { why };
        let found = jsonwebtoken::decode_header(token).map_err(|_| malformed("its header cannot be read"))?;
        let kid = found.kid.as_deref().ok_or(malformed("it names no key"))?;
        if found != header(kid) {
            return Err(malformed("its header is not that of a grant"));
        }
        let key = self.keys.get(kid).ok_or(GrantError::UnknownKey)?;
        let data =
            jsonwebtoken::decode::<Claims>(token, key, &self.validation).map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature | ErrorKind::InvalidEddsaKey => GrantError::BadSignature,
                ErrorKind::Base64(_) => malformed("it is not base64url"),
                ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => malformed("it is of or for somebody else"),
                _ => malformed("its claims are not those of a grant"),
            })?;
        let grant = data.claims.into_grant()?;
        check_sense(&grant)?;
        check_time(&grant, now)?;
        Ok(grant)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.keys()).finish()
    }
}

const TOO_LONG: GrantError = GrantError::Malformed { why: "it is longer than 2 KiB" };

/// The one header a token may have.
fn header(kid: &str) -> Header {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(kid.to_owned());
    header
}

/// Refuses what no honest issuer makes.
fn check_sense(grant: &Grant) -> Result<(), GrantError> {
    let malformed = |why| Err(GrantError::Malformed { why });
    if grant.methods.is_empty() {
        return malformed("it allows no method");
    }
    if !grant.methods.iter().all(|method| grant.target.takes(method)) {
        return malformed("its methods do not go with its target");
    }
    let reads = grant.target.takes(Method::Read);
    if !reads && (grant.from.is_some() || grant.mode != Mode::Stream) {
        return malformed("an upload is not read, from nowhere and in no mode");
    }
    if grant.not_before.as_secs() >= grant.expires_at.as_secs() {
        return malformed("it ends before it begins");
    }
    Ok(())
}

/// The end is exact; the beginning is lenient, as clocks differ and a URL is used at once.
fn check_time(grant: &Grant, now: Timestamp) -> Result<(), GrantError> {
    if now >= grant.expires_at {
        return Err(GrantError::Expired { at: grant.expires_at });
    }
    if now.after(NOT_BEFORE_LEEWAY) < grant.not_before {
        return Err(GrantError::NotYetValid { from: grant.not_before });
    }
    Ok(())
}

/// A token's claims: the registered ones of RFC 7519, and one of our own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: AccountName,
    jti: GrantId,
    iat: u64,
    nbf: u64,
    exp: u64,
    grant: GrantClaim,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantClaim {
    v: u8,
    methods: Vec<Method>,
    target: Target,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<EndpointId>,
    #[serde(default, skip_serializing_if = "is_usual")]
    mode: Mode,
    decision: DecisionId,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_usual(mode: &Mode) -> bool {
    *mode == Mode::default()
}

impl From<&Grant> for Claims {
    fn from(grant: &Grant) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: grant.subject.clone(),
            jti: grant.id,
            iat: grant.issued_at.as_secs(),
            nbf: grant.not_before.as_secs(),
            exp: grant.expires_at.as_secs(),
            grant: GrantClaim {
                v: VERSION,
                methods: grant.methods.iter().collect(),
                target: grant.target.clone(),
                from: grant.from,
                mode: grant.mode,
                decision: grant.decision,
            },
        }
    }
}

impl Claims {
    fn into_grant(self) -> Result<Grant, GrantError> {
        if self.grant.v != VERSION {
            return Err(GrantError::Malformed { why: "its version is not known here" });
        }
        Ok(Grant {
            id: self.jti,
            subject: self.sub,
            issued_at: from_secs(self.iat)?,
            not_before: from_secs(self.nbf)?,
            expires_at: from_secs(self.exp)?,
            methods: self.grant.methods.into_iter().collect(),
            target: self.grant.target,
            from: self.grant.from,
            mode: self.grant.mode,
            decision: self.grant.decision,
        })
    }
}

fn from_secs(seconds: u64) -> Result<Timestamp, GrantError> {
    let millis =
        seconds.checked_mul(1_000).ok_or(GrantError::Malformed { why: "its times lie beyond all calendars" })?;
    Ok(Timestamp::from_millis(millis))
}
