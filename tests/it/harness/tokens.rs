//! Real tokens, signed with throwaway keys; also malformed ones, since header and claims are text
//! that the test writes.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

/// The HMAC secret of the issuer `app`.
pub(crate) const SECRET: &str = "a-throwaway-secret-of-the-tests-0123456789abcdef";

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A signing key and the algorithm that it is used with.
pub(crate) struct Key {
    algorithm: &'static str,
    kid: Option<String>,
    kind: Kind,
}

enum Kind {
    Secret(Vec<u8>),
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, Vec<u8>),
    Ed(Ed25519KeyPair, Vec<u8>),
}

impl Key {
    pub(crate) fn secret(algorithm: &'static str, secret: &str) -> Self {
        Self::secret_bytes(algorithm, secret.as_bytes())
    }

    /// The same, where the secret is no text.
    pub(crate) fn secret_bytes(algorithm: &'static str, secret: &[u8]) -> Self {
        Self::new(algorithm, Kind::Secret(secret.to_vec()))
    }

    /// A fresh key for an asymmetric algorithm.
    pub(crate) fn generate(algorithm: &'static str) -> Self {
        let kind = match &algorithm[..2] {
            "RS" | "PS" => Kind::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")),
            "ES" => ec(algorithm),
            _ => {
                let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
                let document = document.expect("a key");
                let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("its key");
                Kind::Ed(pair, document.as_ref().to_vec())
            }
        };
        Self::new(algorithm, kind)
    }

    fn new(algorithm: &'static str, kind: Kind) -> Self {
        Self {
            algorithm,
            kid: None,
            kind,
        }
    }

    pub(crate) fn with_kid(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    /// The same key, used with another algorithm of its kind.
    pub(crate) fn using(mut self, algorithm: &'static str) -> Self {
        self.algorithm = algorithm;
        self
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.kind {
            Kind::Secret(secret) => {
                let algorithm = match self.algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(algorithm, secret), message)
                    .as_ref()
                    .to_vec()
            }
            Kind::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match self.algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                let result = pair.sign(padding, &random, message, &mut signed);
                result.expect("a signature");
                signed
            }
            Kind::Ec(pair, _) => pair
                .sign(&random, message)
                .expect("a signature")
                .as_ref()
                .to_vec(),
            Kind::Ed(pair, _) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let mut header = json!({ "alg": self.algorithm, "typ": "JWT" });
        if let Some(kid) = &self.kid {
            header["kid"] = json!(kid);
        }
        sign_parts(&header.to_string(), &claims.to_string(), self)
    }

    /// The public key as a JWK (RFC 7517), with `alg` and, where there is one, `kid`.
    pub(crate) fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.kind {
            Kind::Secret(secret) => json!({ "kty": "oct", "k": encode(secret) }),
            Kind::Rsa(pair) => {
                let key = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({ "kty": "RSA", "n": encode(&key.n), "e": encode(&key.e) })
            }
            Kind::Ec(pair, _) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = match self.algorithm {
                    "ES384" => "P-384",
                    "ES512" => "P-521",
                    _ => "P-256",
                };
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Kind::Ed(pair, _) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
            }
        };
        jwk["alg"] = json!(self.algorithm);
        jwk["use"] = json!("sig");
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// PKCS#8, as PEM.
    pub(crate) fn private_pem(&self) -> String {
        let der = match &self.kind {
            Kind::Secret(_) => panic!("a secret has no PEM form"),
            Kind::Rsa(pair) => {
                let der: Pkcs8V1Der<'static> = pair.as_der().expect("DER");
                der.as_ref().to_vec()
            }
            Kind::Ec(_, der) | Kind::Ed(_, der) => der.clone(),
        };
        pem("PRIVATE KEY", &der)
    }

    /// `SubjectPublicKeyInfo`, as PEM.
    pub(crate) fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'static> = match &self.kind {
            Kind::Secret(_) => panic!("a secret has no PEM form"),
            Kind::Rsa(pair) => pair.public_key().as_der(),
            Kind::Ec(pair, _) => pair.public_key().as_der(),
            Kind::Ed(pair, _) => pair.public_key().as_der(),
        }
        .expect("DER");
        pem("PUBLIC KEY", der.as_ref())
    }
}

fn ec(algorithm: &str) -> Kind {
    let curve = match algorithm {
        "ES384" => &ECDSA_P384_SHA384_FIXED_SIGNING,
        "ES512" => &ECDSA_P521_SHA512_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    };
    let document = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(curve, document.as_ref()).expect("its key");
    Kind::Ec(pair, document.as_ref().to_vec())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("ASCII"))
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// A token whose header and claims are exactly these texts.
pub(crate) fn sign_parts(header: &str, claims: &str, key: &Key) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode(header), encode(claims));
    let signed = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signed}")
}

/// The claims of a token, unchecked.
pub(crate) fn decode_claims(token: &str) -> Value {
    decode_part(token, 1)
}

/// A part of a token, unchecked: 0 is the header, 1 the claims.
pub(crate) fn decode_part(token: &str, part: usize) -> Value {
    let text = token.split('.').nth(part).expect("a JWS");
    let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Claims in the making: of the issuer `app`, valid for five minutes.
#[derive(Debug, Clone)]
pub(crate) struct Token(Map<String, Value>);

impl Token {
    pub(crate) fn user(user: impl Into<Value>) -> Self {
        let now = now();
        Self(Map::new())
            .claim("user_id", user)
            .claim("iat", now)
            .claim("exp", now + 300)
    }

    pub(crate) fn account(self, account: impl Into<Value>) -> Self {
        self.claim("account_id", account)
    }

    pub(crate) fn tenant(self, tenant: impl Into<Value>) -> Self {
        self.claim("tenant_schema", tenant)
    }

    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Made so many seconds ago.
    pub(crate) fn issued_ago(self, seconds: i64) -> Self {
        self.claim("iat", now() - seconds)
    }

    /// Expires in so many seconds.
    pub(crate) fn expires_in(self, seconds: i64) -> Self {
        self.claim("exp", now() + seconds)
    }

    pub(crate) fn claims(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Signed with the secret of the issuer `app`.
    pub(crate) fn signed(&self) -> String {
        self.signed_by(&Key::secret("HS256", SECRET))
    }

    pub(crate) fn signed_by(&self, key: &Key) -> String {
        key.token(&self.claims())
    }
}
