package store

// StandingSQL is for looking at what Postgres does with it.
var StandingSQL = standingSQL
