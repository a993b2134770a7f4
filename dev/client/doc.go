// Package client is a small FHIR bulk data client for development and verification: the demo, the end-to-end tests and
// the benchmark drive a server with it the way another payer would.
//
// It signs client assertions, keeps an access token fresh, kicks off jobs, polls them as the server asks, and downloads
// files while checking what a careful client checks: the media type, one gzip member, no blank lines, the line count and
// every line's resource type. It is strict on purpose. It does not resume or repeat a broken download, and sends its
// token to no other host than the server's.
package client
