//! Known answers: one signature per algorithm, made by another library (pyca/cryptography) with
//! keys that were thrown away, for the self-test at start.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

/// What every vector signs.
pub(super) const MESSAGE: &[u8] = b"countersign self-test";

/// The shared key of the HMAC vectors.
const SECRET: &[u8] = b"a secret of the self-test that protects nothing, and is long enough";

/// One known answer.
pub(super) struct Vector {
    /// The algorithm.
    pub(super) algorithm: Algorithm,
    /// The public key in base64url: modulus, point or key; nothing for HMAC.
    key: &'static str,
    /// The signature in base64url.
    pub(super) signature: &'static str,
}

impl Vector {
    /// The key that verifies the signature.
    pub(super) fn decoding_key(&self) -> Option<DecodingKey> {
        let key = URL_SAFE_NO_PAD.decode(self.key).ok()?;
        Some(match self.algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                DecodingKey::from_secret(SECRET)
            }
            Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_der(&key),
            Algorithm::EdDSA => DecodingKey::from_ed_der(&key),
            _ => DecodingKey::from_rsa_raw_components(&key, &[1, 0, 1]),
        })
    }
}

/// The vectors of a family.
pub(super) const fn of(family: AlgorithmFamily) -> &'static [Vector] {
    match family {
        AlgorithmFamily::Hmac => &HMAC,
        AlgorithmFamily::Rsa => &RSA,
        AlgorithmFamily::Ec => &EC,
        AlgorithmFamily::Ed => &ED,
    }
}

const HMAC: [Vector; 3] = [
    Vector {
        algorithm: Algorithm::HS256,
        key: "",
        signature: "yzX8N-sx2AcYeJy1TD5rzeKDVCoeIHwecubd5p---4U",
    },
    Vector {
        algorithm: Algorithm::HS384,
        key: "",
        signature: "Y2lwyCTdid4LVs--L3Pw9npS1Asoeu42u4ipvl-1xeaU8cgHc9PSZ669OYEm07Of",
    },
    Vector {
        algorithm: Algorithm::HS512,
        key: "",
        signature: "fGzGtL47spMoVtZ0P1CdLe70k9ylNz1zysR1vmoRMxoooyYy-cPIsgVVrTzYoZ_TNJdzz1O51eG6\
         KkFhTbwpmw",
    },
];

const RSA_MODULUS: &str = "rPVunNeu3TvsQYR1YnVkRAFFm1oGfkQwBopTVXroCAxrBoxuTdpxrLgIVo7Cm0hYl1aXVL3nqQH1\
    vOKR6lbraptWviyQ6n-UGjZXVBe1x--fHK0EKd1poPeoW0GJSGCZGKC7DI9Awp6F9kGRX7r2gYgF\
    eRj8uSv0g_rQDn0WAdSCI0f6vXTF6sBsrnKvTcmvX2ZKYrEP73O8w2Tll5c73hv18utWxKJHMjpv\
    tb1IvopoI2eiJl_ENOyPSwTkW9Xdss2njpAx6t4KZS4b5VE6wqY-N7gj4Pd3BK45-9ZJjPuyc5IX\
    vl8lVPJfFi2pGLXbfQUKzhOWjLpotntq9Ryw8w";

const RSA: [Vector; 6] = [
    Vector {
        algorithm: Algorithm::RS256,
        key: RSA_MODULUS,
        signature: "balFN_B7ZK5YlbhMBsQHCvUw454diJhdDT1G5taCH-aQN8NTyQ4JknSb77VMrKrEKy5gPSFgNkOr\
         B1NjGxSV3eV066eKVjBczVZKTPWlipJFalwXXDBdG33b_jX3pV51c6JSCKj_F67MaPodaF4JgdaV\
         dd_FBVjY3DcXtYrtC8lJJ64q0PXyOpyJjN8eC52mhq3rwzEHIw6EvqfjOfe4bIAvWIfM-lgVnjtW\
         KMey5YpaofRyiiZtOUBGzE6JoxCNyFxavR3bqjs_FfqLB2pMdA3DgJiF-yJOjLK4oSlXEK70ld0S\
         d88rKS0E20rwGnuh2hQjIOqCPkpp2HC0dbqWTQ",
    },
    Vector {
        algorithm: Algorithm::PS256,
        key: RSA_MODULUS,
        signature: "EucAsSaRQRXMV4oGcehUxPLn1PRlcL3XUp6p592t-f_R7FYpj5ckyOo42-IDQXMV1zsiqkb4b-iX\
         iMq5HzZA8nfTiC7RkBNzIrMsgsV9NzVciKey49ZaO3eGwm4WgBLYFH6XHv47o_SiT6BtB0dGVr94\
         vtnb7dH32FM0etQVrtQ64Xex7XahTVsPsC4bXcNWcTlvuoegbngsCn9vdV-la2F74D5cPLJyE-h6\
         MlLefBE4Vulklx7fKl8TORhgW1L2nxNzdznypZZ-2Zi0TpWHpBmgbBv25FDUMoQ8hNCE1zIP_wau\
         fJF5Rlzt4YjrMrV5uuRw3L7SrC0_senJUXfK3w",
    },
    Vector {
        algorithm: Algorithm::RS384,
        key: RSA_MODULUS,
        signature: "b838mNGVUPokUNW8SkxY7pnoScKFE-ofbErGnFOXYV8CN3IsXhJUXMLYoNO6eDf_MG4VJuXf-voH\
         w7HCbkTEl5L5PSDGBOMqNGOz_HOKfwLWg38h1woW01-Y-orLG8WMnK1wPPQBd0b7lR54oD5-Fvbu\
         VLwjX23Y_kEYKHJTQB_WIu_3fcKMi0ZpCwrKDCn1saXShzPtqBvbUMbI0RTJuR40HUHtD1umVLqK\
         VrSP9gEeAN8SfYD5LYV6j0ldPtaT_4kiHdGfjdbZZaPKbNxdGqa3ZWPLkEQrruHmSRE_-ZsBWKAA\
         ctBfQ7-T81bwwObaOavz5NBGZumfvHKw82Pvgg",
    },
    Vector {
        algorithm: Algorithm::PS384,
        key: RSA_MODULUS,
        signature: "ENwZ7IWpa9iZTxAecgIl6zBkWcS56xJOOCMNGp9laX_XkyYuNwL8g9r0PczW6z7blO5FZsyr96zj\
         OWmWQimf8448nweJMqfX_YsJ7uSFPTJtxBhLY9hqBkiqHYP-80afnBQZrnWtQze-DjEfVBpLFAbM\
         6ETn7FUk_6ZX5ETSqsUruJzMHdQXSMwtiYgVLlzXMZC5sGMSOEbLDu1t21uIb8EpGBgn5xsKW-LJ\
         J697QllhbavThbEaekj6-F3tga5F0U_fXXlCLv6AozAh9z6UqagsCeG3cW9UwhUlsw3SYfLeQmH1\
         FzLz662KQB2_aY_cOXOzSprghZ2tUyJLjLhAeQ",
    },
    Vector {
        algorithm: Algorithm::RS512,
        key: RSA_MODULUS,
        signature: "CKO7QExiNfIff2rbFa-_-LLAngHHuV2Q-quTUR-TSYZ32H6W7ayM9xzShWff5gWWyAu1aT-70uG9\
         lyU7ZYs2WAQcaBf8qTm9ID_EX37ch1rkzJHxtdBkr1bWXzcswkGbtK11r5qkT5C44Ai24g4peh3k\
         kt87jdh0hV7f_FXoRU_b4ymKOC6IgUzWmOlAfcMk4Il20lOiymCi6WRAvk-vvXIWd5x92yHzCT0T\
         NyE7JmmLoffB0vKkXPfJj_HWqeqWcI6Bfr3-GbxwucgzEOVvuBLmorE8a-pOHPs6ggnWwfnFRjEw\
         k7YqyJ3y7NHkDDifjL5q-CAlUGNASkh3Fj3Sxw",
    },
    Vector {
        algorithm: Algorithm::PS512,
        key: RSA_MODULUS,
        signature: "pTkKg45fX2N_dgrwqvC_b_DbhNXhAGMM3snBTGE9BBd0TK4ZJB1w7CC5M0kXMYYw7q5KXcKdmsKt\
         r4R66OGTu0oIwnl5TAppTsoqbEimNYq0qdYnkwmU1Hlkx5VGuJtwlH9OTT4DB4dhieMl-X6XGcLa\
         k5HVcIlAguaGf1gWQdFrZGMHARBCjbBVRpRFYl-UF_zc2u3xgQVov0Bm6g6SviODHwD-KdVIsYR5\
         CdKQzPnrktmSe__of1pTodz0XNyLSAwtsA182wDdiQHUOSfGM0vtHDXbdr3mcSt_1SPsZqZApe9C\
         4NdY_mQ8orzvaWNyvqz_toYNWDLKqtdRgGdJpg",
    },
];

const EC: [Vector; 2] = [
    Vector {
        algorithm: Algorithm::ES256,
        key: "BA8fdvAcWm0gmNXrDCB9Igmhr8Z04zaUjYNnEHrhjhB1XTJwEMaGt80fPzAf-ZLuvNDf175LV0Xp\
         EMqBOsOIu9U",
        signature: "iv9pFJSmmCdnzu-b9fMc-ryqXVZGv4U8-8R7QDLrsFnJqjmkyMEd9mrmfroDKg6DJhVxDb4xNvwx\
         8q79RSR6qA",
    },
    Vector {
        algorithm: Algorithm::ES384,
        key: "BH4rV0COf5JuA6ului7pgiJ8Rhnyrz1_iSJ-bwTGILiWeG_0JUDRhlTbt6Jlz6op7NHnIDMYOUQ7\
         7Qv0IjegbCPvIKUS_SZpr1VJ8E5UW7X7uctOGYXQcWSP2DwwuvulTQ",
        signature: "yaDi4rmrAgpDfXk46fkPIVhrIB1HDZQ_J12uO1nsHtUoMSiFUuDAlM_Qmbe2Iajn71-YSE5iZZMp\
         B_Z8412ZYekZ00kYB_rM-c5yr76rCy_GwDsBFazdj7t8BWpBhyab",
    },
];

const ED: [Vector; 1] = [Vector {
    algorithm: Algorithm::EdDSA,
    key: "aa2jSiVufcPa7GECsGf0j2IBIKPG7ttRPXcxb2EubBo",
    signature: "smEzMEqV3odBtSHxvKZ09IqmeW4Nej_iIHVT_SOp-6lMg04Xl7mhMtzcbmKe3D4Hw2ReXV1XSMy3\
         b6k0wh9XAg",
}];
