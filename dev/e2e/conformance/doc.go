// Package conformance holds a server against the requirements, one check for each, from outside: over HTTP alone, as a
// client sees it. "make conformance" prints the table of what came of each, and TestConformance has a test for each.
//
// Without options it runs against a system of its own, with members and data made for it; what the data must be is then
// known, and some checks stop workers or the database for a while, to see how the answers read. Given a base URL it runs
// against whatever answers there, with the credentials of one client, and leaves out what needs data it has made itself.
//
// A check ends in one of four ways:
//
//	pass  the server does what the requirement says
//	fail  it does not
//	n/a   the requirement is about something optional that the server, by its own answers, does not offer, or that cannot
//	      be seen from where the checks stand
//	todo  there is no check, because the feature belongs to an issue that is still open
//
// A requirement of an issue that is done and has no check fails. The requirements themselves, their ids and levels, are in
// requirements.txt, in the order of the table; the wording of the guides is not repeated.
//
// It does not test how the server gets there (the packages' own tests do), that it survives crashes (package e2e), or how
// fast it is (dev/bench).
package conformance
