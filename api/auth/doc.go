// Package auth is the server side of SMART Backend Services: it authenticates registered clients by signed assertions,
// issues short-lived access tokens, publishes discovery and key documents, and checks the tokens that come back with
// every FHIR request.
//
// What is checked is checked strictly (https://hl7.org/fhir/smart-app-launch/backend-services.html and
// https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html): RS384 or ES384 only, one key, one
// audience, five minutes, one use. A caller whose authentication fails learns nothing about why, not even whether the
// client exists: the answer is the same and an unknown client costs a signature check too. (A client that publishes its
// keys under a URL can still be told apart by the time a fetch takes.)
//
// Tokens are JWTs signed with ES384 keys that all api processes share through the store; any process checks a token
// without asking another. There are no refresh tokens: a new signed assertion is the renewal. A deactivated client's
// tokens stop working within ClientCacheTime everywhere.
//
// The package does not register clients, limit rates, write FHIR answers, or know any other grant. Whoever can read the
// signing_keys table can mint tokens; that table is as sensitive as the data.
package auth
