//! What a reissued token says, and that its own issuer accepts it.

use jsonwebtoken::Algorithm;
use serde_json::json;

use super::super::testing::*;
use super::super::verify::Verifier;
use super::super::{MintRequest, mint_for};
use super::*;
use crate::config::{Audiences, Claims, KeyPath, KeySource};

const REAL_ACCOUNT: &str = "12";

fn config(claims: &Value) -> Reissue {
    Reissue {
        at: KeyPath::root().key("identity").key("reissue"),
        issuer: 0,
        ttl: Duration::from_mins(1),
        claims: claims.as_object().unwrap().clone(),
        integer_ids: true,
        also_authorization: false,
        endpoint: None,
    }
}

struct Ids {
    tenant: TenantId,
    user: UserId,
    account: AccountId,
}

fn ids() -> Ids {
    Ids {
        tenant: TenantId::parse("a").unwrap(),
        user: UserId::parse("5").unwrap(),
        account: AccountId::parse(REAL_ACCOUNT).unwrap(),
    }
}

impl Ids {
    fn source<'a>(&'a self, token: Option<&'a VerifiedToken>) -> ReissueSource<'a> {
        ReissueSource {
            token,
            tenant: &self.tenant,
            user: &self.user,
            account: Some(&self.account),
            session_end: None,
            exchanged: false,
        }
    }
}

fn reissuer(issuer: &Issuer) -> Reissuer {
    Reissuer::build(
        &config(&json!({"type": "access"})),
        std::slice::from_ref(issuer),
    )
    .unwrap()
}

fn verified(verifier: &Verifier, extra: &Value) -> VerifiedToken {
    verifier.try_verify(&hs256(&payload(extra)), now()).unwrap()
}

fn claims_of(issuer: &Issuer, minted: &Redacted) -> Map<String, Value> {
    let verifier = verifier(std::slice::from_ref(issuer));
    let token = verifier.try_verify(minted.expose(), now()).unwrap();
    token.claims().unwrap()
}

#[test]
fn claims_of_the_same_issuers_token_stay_and_the_identity_is_ours() {
    let issuer = issuer();
    let verifier = verifier(std::slice::from_ref(&issuer));
    let token = verified(
        &verifier,
        &json!({
            "account_id": 99, "tenant": "a", "type": "access", "extra": {"x": [1]},
            "nbf": NOW - 20, "jti": "old",
        }),
    );
    let (minted, expires) = reissuer(&issuer)
        .mint(&ids().source(Some(&token)), now())
        .unwrap();
    let mut claims = claims_of(&issuer, &minted);
    assert_ne!(claims.remove("jti").unwrap(), json!("old"));
    assert_eq!(
        Value::Object(claims),
        json!({
            "user_id": 5, "account_id": 12, "tenant": "a", "type": "access", "extra": {"x": [1]},
            "iat": NOW - 30, "exp": NOW + 60,
        })
    );
    assert_eq!(expires.as_secs(), NOW + 60);
}

#[test]
fn other_sources_begin_with_the_configured_claims() {
    let issuer = issuer();
    let ids = ids();
    let mut source = ids.source(None);
    source.account = None;
    let (minted, _) = reissuer(&issuer).mint(&source, now()).unwrap();
    let mut claims = claims_of(&issuer, &minted);
    claims.remove("jti").unwrap();
    assert_eq!(
        Value::Object(claims),
        json!({
            "type": "access", "user_id": 5, "account_id": null, "tenant": "a",
            "iat": NOW - 30, "exp": NOW + 60,
        })
    );
}

#[test]
fn another_issuers_claims_are_not_taken_over() {
    let other = Issuer {
        name: "other".into(),
        issuer: Some("other".into()),
        ..issuer()
    };
    let issuers = [issuer(), other];
    let verifier = verifier(&issuers);
    let token = verified(&verifier, &json!({"iss": "other", "is_staff": true}));
    let reissuer = Reissuer::build(&config(&json!({})), &issuers).unwrap();
    let (minted, _) = reissuer.mint(&ids().source(Some(&token)), now()).unwrap();
    assert_eq!(claims_of(&issuers[0], &minted).get("is_staff"), None);
}

#[test]
fn it_never_outlives_what_it_stands_for() {
    let issuer = issuer();
    let verifier = verifier(std::slice::from_ref(&issuer));
    let reissuer = reissuer(&issuer);
    let ids = ids();
    // exp 10 s ago, accepted by a leeway of 30 s: 20 s are left.
    let token = verified(&verifier, &json!({"exp": NOW - 10}));
    let (_, expires) = reissuer.mint(&ids.source(Some(&token)), now()).unwrap();
    assert_eq!(expires.as_secs(), NOW + 20);
    let mut session = ids.source(None);
    session.session_end = Some(UnixTime::from_secs(NOW + 7));
    let (_, expires) = reissuer.mint(&session, now()).unwrap();
    assert_eq!(expires.as_secs(), NOW + 7);
    session.session_end = Some(now());
    assert!(matches!(
        reissuer.mint(&session, now()),
        Err(MintError::SessionExpired)
    ));
    // What a client gets in exchange has nothing of the leeway.
    let mut exchanged = ids.source(Some(&token));
    exchanged.exchanged = true;
    assert!(matches!(
        reissuer.mint(&exchanged, now()),
        Err(MintError::Expired)
    ));
    let later = UnixTime::from_secs(NOW + 20);
    assert!(matches!(
        reissuer.mint(&ids.source(Some(&token)), later),
        Err(MintError::Expired)
    ));
}

#[test]
fn its_own_issuer_accepts_it() {
    let strict = Issuer {
        issuer: Some("https://app".into()),
        audiences: Audiences::Listed(vec!["api".into(), "web".into()]),
        max_lifetime: Some(Duration::from_secs(45)),
        require: vec![(path("token.kind"), json!("access"))],
        claims: Claims {
            user: path("who.id"),
            account: Some(path("who.account")),
            tenant: None,
            issued_at: path("orig_iat"),
        },
        ..issuer()
    };
    let reissuer = Reissuer::build(
        &config(&json!({"aud": ["web"]})),
        std::slice::from_ref(&strict),
    )
    .unwrap();
    let (minted, expires) = reissuer.mint(&ids().source(None), now()).unwrap();
    assert_eq!(expires.as_secs(), NOW - 30 + 45);
    let claims = claims_of(&strict, &minted);
    assert_eq!(claims["who"], json!({"id": 5, "account": 12}));
    assert_eq!(claims["aud"], json!(["web"]));
    let bare = Reissuer::build(
        &config(&json!({"aud": "x", "nbf": NOW + 9})),
        std::slice::from_ref(&strict),
    )
    .unwrap();
    let (minted, _) = bare.mint(&ids().source(None), now()).unwrap();
    assert_eq!(claims_of(&strict, &minted)["aud"], json!("api"));
}

#[test]
fn ids_that_are_no_integers_are_an_error_where_integers_are_asked() {
    let ids = Ids {
        user: UserId::parse("u-5").unwrap(),
        ..ids()
    };
    let integers = reissuer(&issuer());
    assert!(matches!(
        integers.mint(&ids.source(None), now()),
        Err(MintError::NotAnInteger("user"))
    ));
    let config = Reissue {
        integer_ids: false,
        ..config(&json!({}))
    };
    let strings = Reissuer::build(&config, &[issuer()]).unwrap();
    let (minted, _) = strings.mint(&ids.source(None), now()).unwrap();
    let claims = claims_of(&issuer(), &minted);
    assert_eq!(claims["user_id"], json!("u-5"));
    assert_eq!(claims["account_id"], json!(REAL_ACCOUNT));
}

#[test]
fn only_an_issuer_with_a_secret_can_sign() {
    let public = Issuer {
        algorithms: vec![Algorithm::ES256],
        keys: KeySource::JwksUrl("https://idp/keys".into()),
        ..issuer()
    };
    let faults = Reissuer::build(&config(&json!({})), std::slice::from_ref(&public)).unwrap_err();
    assert_eq!(faults[0].at.as_str(), "identity.reissue.issuer");
    assert!(Reissuer::build(&config(&json!({})), &[]).is_err());
    assert!(matches!(
        mint_for(&public, &request(), now()),
        Err(MintError::NoKey(_))
    ));
}

fn request() -> MintRequest {
    let ids = ids();
    MintRequest {
        user: ids.user,
        account: Some(ids.account),
        tenant: Some(ids.tenant),
        ttl: Duration::from_mins(5),
        integer_ids: false,
        claims: Vec::new(),
    }
}

#[test]
fn a_token_for_trying_things_out_is_valid() {
    let issuer = Issuer {
        issuer: Some("https://app".into()),
        audiences: Audiences::Listed(vec!["api".into()]),
        require: vec![(path("token_type"), json!("access"))],
        ..issuer()
    };
    let minted = mint_for(&issuer, &request(), now()).unwrap();
    let claims = claims_of(&issuer, &minted);
    assert_eq!(claims["user_id"], json!("5"));
    assert_eq!(claims["account_id"], json!("12"));
    assert_eq!(claims["exp"], json!(NOW + 300));
    let odd = MintRequest {
        integer_ids: true,
        claims: vec![(path("realm.level"), json!(2))],
        ..request()
    };
    let claims = claims_of(&issuer, &mint_for(&issuer, &odd, now()).unwrap());
    assert_eq!(
        (&claims["user_id"], &claims["tenant"]),
        (&json!(5), &json!("a"))
    );
    assert_eq!(claims["realm"], json!({"level": 2}));
}
