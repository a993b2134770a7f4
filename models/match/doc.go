// Package match decides which of our members, if any, a submitted person is.
//
// It has two halves. FromPatient and AddCards turn a Patient and its Coverages into a Person: names, birth date and
// identifiers in the one normal form in which they can be compared. The same Person serves both sides, as the rows of the
// member index when a Patient is imported and as the probe when a payer or provider asks. Decide then compares a Person with
// the members that the index found for it and answers with one member or with none.
//
// The rule is exact: normalised fields are equal or they are not, and nothing is scored. It is built so that a doubt never
// discloses anybody's data:
//
//   - Family name (any that is known), the whole birth date and the given name have to agree, gender and generational suffix
//     must not contradict, and an identifier has to be held in common.
//   - How much identifier is needed depends on how well the given name agrees. A subscriber number is shared by a family, so
//     beside it the given names have to agree in full: that is what tells twins apart. A number that is one person's carries
//     a given name that agrees in part (Juan Carlos and Juan Pablo; somebody known by a middle name). Only a Medicare or
//     social security number carries a missing one, and "Baby Girl" counts as missing. Given names that contradict are
//     never outvoted.
//   - Somebody submitted without any usable identifier is matched only if family name, given name, birth date and gender are
//     all known and agree.
//   - More than one member who qualifies is nobody: requirement CF-10 (HRex $member-match, "multiple matches"). Nobody is
//     also what D-05 asks for when the birth date or name is missing. The Reason says which it was; it is for operators, and
//     requirement RC-04 forbids to disclose it.
//
// The package is pure: no clock, no store, no context. It does not look members up, does not judge consent, does not forgive
// typing errors or nicknames, and does not use addresses or telephone numbers.
package match
