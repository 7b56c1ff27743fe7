// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names whose value is a secret, wherever a `name=value` stands.
//!
//! A name is compared in small letters and without the signs between its words, so `access_token`, `accessToken` and
//! `Access-Token` are one. Errs to more names: a harmless value that is hidden costs a reader a value, one that is
//! shown may cost an account. Names that end like a secret but only say where a list goes on stay readable.

/// Names, as compared, in order; above each group where its names come from.
const NAMES: [&[&str]; 8] = [
    // OAuth 2.0: RFC 6749, RFC 7521 and RFC 8628; sign-in by SAML 2.0 and CAS. OAuth 1.0: RFC 5849.
    &[
        "assertion",
        "clientassertion",
        "code",
        "codeverifier",
        "devicecode",
        "idtokenhint",
        "oauthverifier",
        "samlresponse",
        "ticket",
        "usercode",
    ],
    // AWS Signature Version 4 (`X-Amz-…`) and 2 (`AWSAccessKeyId`); CloudFront's signed URLs use `Signature`.
    &["awsaccesskeyid", "xamzcredential", "xamzsecuritytoken", "xamzsignature"],
    // Google: API keys (`key`), V4 and V2 signed URLs, and resumable uploads, whose id is all that an upload needs.
    &["googleaccessid", "key", "uploadid", "xgoogcredential", "xgoogsignature"],
    // Azure: shared access signatures and Logic Apps (`sig`), API Management, Functions (`code`, above). The other
    // fields of a shared access signature (`sv`, `se`, `sp`, …) say what is allowed until when, and open nothing.
    &["ocpapimsubscriptionkey", "sig", "subscriptionkey"],
    // Alibaba Cloud OSS and Tencent Cloud COS, signed URLs.
    &["ossaccesskeyid", "qak", "qsignature", "xosscredential", "xosssignature"],
    // Akamai's token authentication.
    &["hdnea", "hdntl", "hdnts"],
    // Sessions of servers that write them into URLs, and of MCP over SSE (`sessionId`).
    &["jsessionid", "phpsessid", "sessionid"],
    // What APIs and programs without a standard use.
    &[
        "accesskey",
        "accesskeyid",
        "apikey",
        "appkey",
        "auth",
        "authkey",
        "authorization",
        "bearer",
        "cookie",
        "credential",
        "credentials",
        "encryptionkey",
        "functionskey",
        "hmac",
        "jwt",
        "licensekey",
        "masterkey",
        "otp",
        "pass",
        "passcode",
        "passphrase",
        "privatekey",
        "pwd",
        "secretkey",
        "session",
        "sharedaccesskey",
        "signingkey",
        "totp",
        "writekey",
    ],
];

/// Whatever comes before it: RFC 6750 (`access_token`), RFC 6749 (`client_secret`, `password`), RFC 7009 (`token`),
/// RFC 8693 (`subject_token`), RFC 5849 (`oauth_signature`), and what everybody else derives from these words.
const ENDS: [&str; 6] = ["apikey", "passwd", "password", "secret", "signature", "token"];

/// They end like a secret and only say where a list goes on.
const PLACES: [&str; 8] = [
    "continuationtoken",
    "cursortoken",
    "nextpagetoken",
    "nexttoken",
    "pagetoken",
    "paginationtoken",
    "starttoken",
    "synctoken",
];

/// Whether the value of a name is a secret. Of a name in parts (`auth[token]`, `user.password`) the last one counts
/// that is no number.
pub(super) fn is_secret(name: &str) -> bool {
    let mut parts = name.split(['[', ']', '.', ':']).rev();
    let is_word = |part: &&str| part.contains(|c: char| c.is_ascii_alphabetic());
    let Some(last) = parts.find(is_word) else { return false };
    let letters = last.chars().filter(char::is_ascii_alphanumeric);
    let name: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    let is_end = ENDS.iter().any(|end| name.ends_with(end));
    (is_end && !PLACES.contains(&name.as_str()))
        || NAMES.iter().any(|group| group.binary_search(&name.as_str()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_signs() {
        for name in [
            "key",
            "KEY",
            "api_key",
            "apikey",
            "apiKey",
            "api-key",
            "access_token",
            "accessToken",
            "token",
            "refresh_token",
            "id_token",
            "sig",
            "signature",
            "Signature",
            "oauth_signature",
            "code",
            "client_secret",
            "clientSecret",
            "X-Amz-Signature",
            "X-Amz-Security-Token",
            "X-Amz-Credential",
            "AWSAccessKeyId",
            "X-Goog-Signature",
            "X-Goog-Credential",
            "GoogleAccessId",
            "subscription-key",
            "Ocp-Apim-Subscription-Key",
            "__token__",
            "auth[token]",
            "token[]",
            "token[0]",
            "user.password",
            "hub.verify_token",
            "x-api-key",
            "sessionId",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "",
            "0",
            "alt",
            "api-version",
            "keyword",
            "keys",
            "max_tokens",
            "model",
            "monkey",
            "nextPageToken",
            "page_token",
            "response_type",
            "se",
            "state",
            "sv",
            "tokens",
            "X-Amz-Date",
            "X-Amz-Expires",
            "token[count]",
            "encode",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn groups_are_in_order_and_hold_names_as_they_are_compared() {
        for group in NAMES {
            assert!(group.is_sorted(), "{group:?}");
            for name in group {
                assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
            }
        }
    }
}
