// Package match decides which of our members, if any, a submitted person is.
//
// It has three parts. FromPatient and AddCards turn a Patient and its Coverages into a Person: names, birth date, addresses,
// telephones, e-mail and identifiers, each in one normal form, without what stands in for a value that is not known. Keys
// names what two records of one person have in common even with a mistake or two, so that few members have to be looked at.
// Decide weighs the person against each of those, and answers with one member or with none.
//
// The weights are those of Fellegi and Sunter ("A Theory for Record Linkage", 1969): each field agrees to a level, and a level
// weighs as many bits as it is likelier between records of one person than between those of two. Names that agree weigh by how
// rare they are, on the roster and, as long as that is small, in the country (given_names.txt); two forms that are each a name
// of somebody's are taken for two names, and not for a slip of one. What is nearly a name and nobody's is a slip.
//
// A doubt never discloses anybody's data. What agrees must be evidence against each of those who share most with the person
// (Rivals): a stranger, a relative, a twin, a parent or child of the same name. An address, a telephone or a subscriber number
// speaks against strangers alone, because a family shares it; names, birth date, gender and a number that is one person's speak
// against relatives; birth dates do not speak against twins. The same certainty, 8 bits, is wanted against each, beyond how
// common they are. On top of that:
//
//   - Given names, birth dates, genders, generational suffixes, birth orders, dependant numbers or national numbers that
//     contradict rule a member out. Of these a given name and a birth date can be outvoted by a number that is certain to be
//     one person's (a member id made of a subscriber number and a dependant's, or a Medicare or social security number) when
//     all else agrees and nobody is known to be a twin or can be a child with a parent's card.
//   - A missing given name ("Baby Girl" is one) takes such a number as well.
//   - Name and birth date alone are no match when address, telephone, e-mail and numbers were submitted and are all others, unless
//     the numbers are not others and the name is so rare that nobody else in the country is likely to share both.
//   - More than one plausible member is nobody: requirement CF-10. So is whoever is not well ahead of the next.
//
// Why it was so, field by field, is in the Decision; the Reason and the explanation are for operators, and requirement RC-04
// forbids to disclose them.
//
// The package is pure: no clock, no store, no context. It does not look members up and does not judge consent.
package match
