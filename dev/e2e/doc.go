// Package e2e tests the product as its users meet it: real Postgres, a real Temporal server, api and worker as processes of
// their own, and clients that speak HTTP. It holds what only the whole can show: that a worker killed in the middle of its
// work costs no line and repeats none, that one client sees nothing of another, that nothing about a person reaches Temporal
// or a log, and that the files are what the manifest and the guides promise.
//
// Most tests share one system, each with clients of its own; tests that break things have systems to themselves. A test
// that must happen in the middle of something holds the work there with a gate in the database, so no test depends on how
// fast anything is. Rules that need no running system are tested where they are written.
//
// The tests need Postgres and dev/bin/temporal. Without them they are skipped, or fail when CI is set; -short skips them.
package e2e
