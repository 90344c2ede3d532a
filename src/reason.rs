//! Reasons: the machine-readable code of a decision.
//!
//! The same word stands in the response, the audit line, the metric, `explain` and the docs. A
//! reason says nothing about HTTP; [`crate::reject`] is the only place that gives it a status.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)+) => {
        /// Why a request was allowed or refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Every reason there is, in the order of the decision.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code, as it stands in responses, logs and metrics.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

reasons! {
    // Step 1: the request is unambiguous.
    /// The request can be read in two ways.
    AmbiguousRequest = "ambiguous_request",
    /// The request is not well-formed.
    MalformedRequest = "malformed_request",
    /// The TLS server name leads elsewhere than the Host.
    HostMismatch = "host_mismatch",
    /// The client was too slow.
    RequestTimeout = "request_timeout",
    /// The body exceeds the limit.
    BodyTooLarge = "body_too_large",
    /// The request target exceeds the limit.
    UriTooLong = "uri_too_long",
    /// An Expect other than `100-continue`.
    ExpectationFailed = "expectation_failed",
    /// The header section exceeds the limit.
    HeadersTooLarge = "headers_too_large",
    // Step 1b.
    /// Too many requests from this client or principal.
    RateLimited = "rate_limited",
    /// The gateway is at a limit of its own.
    Overloaded = "overloaded",
    /// The gateway is shutting down.
    Draining = "draining",
    /// The request has been through this gateway before.
    LoopDetected = "loop_detected",
    // Step 2.
    /// No route covers the path.
    NoRoute = "no_route",
    /// The path's routes do not list the method.
    MethodNotAllowed = "method_not_allowed",
    // Step 3.
    /// No source named a tenant.
    TenantMissing = "tenant_missing",
    /// Two sources named different tenants.
    TenantConflict = "tenant_conflict",
    /// The tenant does not exist.
    TenantUnknown = "tenant_unknown",
    // Step 4.
    /// A member route, and no credential.
    CredentialMissing = "credential_missing",
    /// The credential cannot be read.
    CredentialMalformed = "credential_malformed",
    /// The signature does not verify.
    SignatureInvalid = "signature_invalid",
    /// The issuer has no such key.
    KeyUnknown = "key_unknown",
    /// The token's algorithm is not one of the issuer's, or not the key's.
    AlgorithmNotAllowed = "algorithm_not_allowed",
    /// The token has expired.
    TokenExpired = "token_expired",
    /// The token is not valid yet.
    TokenNotYetValid = "token_not_yet_valid",
    /// No configured issuer matches.
    IssuerUnknown = "issuer_unknown",
    /// The token is for someone else.
    AudienceMismatch = "audience_mismatch",
    /// A required claim is absent or has another value.
    ClaimMissing = "claim_missing",
    /// The token was revoked.
    TokenRevoked = "token_revoked",
    /// The session is unknown or not authentic.
    SessionInvalid = "session_invalid",
    /// The session has expired.
    SessionExpired = "session_expired",
    /// Two credentials, two identities.
    CredentialConflict = "credential_conflict",
    /// The issuer's keys cannot be had.
    KeysUnavailable = "keys_unavailable",
    /// The directory does not answer.
    DirectoryUnavailable = "directory_unavailable",
    // Step 4b.
    /// A cookie came from an origin that may not use it.
    OriginNotAllowed = "origin_not_allowed",
    /// The CSRF token is absent or wrong.
    CsrfFailed = "csrf_failed",
    // Step 5.
    /// The credential speaks for another tenant.
    TenantMismatch = "tenant_mismatch",
    // Step 6.
    /// The tenant has no such user.
    UserUnknown = "user_unknown",
    /// The token's account is not the live one.
    AccountMismatch = "account_mismatch",
    /// The user is deactivated.
    UserInactive = "user_inactive",
    /// The account is deactivated.
    AccountInactive = "account_inactive",
    /// The user belongs to no account.
    AccountMissing = "account_missing",
    // Step 7.
    /// The route asks for a role or attribute that the user lacks.
    RoleRequired = "role_required",
    /// An identity value cannot stand in a header.
    IdentityUnsafe = "identity_unsafe",
    // Step 9.
    /// No upstream server could be reached.
    UpstreamUnreachable = "upstream_unreachable",
    /// The upstream broke the protocol.
    UpstreamProtocol = "upstream_protocol",
    /// The upstream acted as somebody else.
    EchoMismatch = "echo_mismatch",
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout",
    /// A defect of the gateway.
    InternalError = "internal_error",
    // Allowed.
    /// The token's account is the live account.
    Match = "match",
    /// The live account was used in place of the token's.
    LiveAccount = "live_account",
    /// The credential names no account; the live one was used.
    AccountFilled = "account_filled",
    /// The token's account is one of the live memberships.
    Member = "member",
    /// A live bypass role acts in the token's account.
    Bypass = "bypass",
    /// The mismatch was let through and recorded.
    Observed = "observed",
    /// No account, and the configuration allows that.
    NoAccount = "no_account",
    /// An optional route without a credential.
    OptionalAnonymous = "optional_anonymous",
    /// A public route.
    Public = "public",
}

impl Reason {
    /// Whether this is a reason for letting a request through.
    #[must_use]
    pub const fn allows(self) -> bool {
        matches!(
            self,
            Self::Match
                | Self::LiveAccount
                | Self::AccountFilled
                | Self::Member
                | Self::Bypass
                | Self::Observed
                | Self::NoAccount
                | Self::OptionalAnonymous
                | Self::Public
        )
    }

    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == code)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}
