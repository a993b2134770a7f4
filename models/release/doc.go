// Package release decides what of a resource may leave, and in which form: which view of a claim, how far back, which prior
// authorisations, what counts as sensitive, and what becomes of a reference to something that stays.
//
// It works on the bytes of a line that fhir.Inspect has accepted, and changes nothing it does not have to: what stays keeps
// its order and its text. What it finds is kept by the import as the release class of the line (models.Class) and as views
// of it, so that an export chooses among whole segments and looks into none.
//
// The package is pure: time is an argument, and it knows no database, no client and no job.
package release
