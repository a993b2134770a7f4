// Package auth is the door: it authenticates registered clients by signed assertions, issues short-lived access tokens,
// publishes discovery and key documents, checks the tokens that come back with every FHIR request, and lets clients register.
//
// What is checked is checked strictly (https://hl7.org/fhir/smart-app-launch/backend-services.html,
// https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html, HL7 UDAP Security 1.1.0): RS384 or ES384 only, for
// UDAP RS256 and ES256 as well, one key, one audience, five minutes, one use. A caller whose authentication fails learns nothing
// about why, not even whether the client exists: the answer is the same and an unknown client costs a signature check too. (A
// client that publishes its keys under a URL can still be told apart by the time a fetch takes.)
//
// Tokens are JWTs signed with Ed25519 keys that all api processes share through the store; any process checks a token without
// asking another. There are no refresh tokens: a new signed assertion is the renewal. A token that is revoked, and those of a
// client that is locked out, are refused by every process from the moment that is answered (Watch).
//
// A client that registers itself by UDAP can do nothing before an administrator has said what it is; one that registers with an
// initial access token is what the administrator said who made the token.
//
// The package does not decide who is approved, limit rates, write FHIR answers, or know any other grant. Whoever can read the
// signing_keys table can mint tokens; that table is as sensitive as the data.
package auth
