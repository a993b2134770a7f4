// Package search evaluates the parameters of Bulk Data exports that look into resources, _typeFilter and _elements: they are
// parsed once and then held against the raw JSON of each line, which is never decoded.
//
// # What a filter can say
//
// A query is ResourceType?name[:modifier]=value&..., a FHIR R4 search (https://hl7.org/fhir/R4/search.html) on one type. Its
// parameters must all hold, a parameter that is repeated each time it is there; of the values between commas one is enough.
// Several queries on a type are alternatives. Parameters lists the parameters of a type: those of US Core 6.1.0, CARIN Blue
// Button and PDex 2.2.0, and _id, _lastUpdated, _profile, _security and _tag on every type. The escapes \, \| \$ and \\ are
// understood.
//
//	token      code, system|code, |code, system|. Codes are compared without regard to case, ids with it, systems as they
//	           are. The system of a code element is the one its binding implies; |code takes it as having none.
//	           :not (nothing has any of the values, absence included), :text (a display or text starts with the value;
//	           not on code, boolean and id)
//	date       a year, month, day, minute, second or fraction, with eq, ne, gt, lt, ge, le, sa, eb or ap in front, against
//	           date, dateTime, instant, Period and Timing (from its first event or bound to its last). A value with a time
//	           is compared by moments, UTC where no zone is given; one without by the day that was written. ge is gt or eq and
//	           le is lt or eq, as R4 defines them: a period that only reaches into the day is neither. An end that a
//	           Period lacks is open. ap widens the value's range by its own length at both ends.
//	reference  id, Type/id, either with /_history/version, or an absolute URL; a canonical takes |version. An absolute
//	           URL in a resource is also found by the Type/id at its end, as an import reads it, and for patients so is a
//	           urn:uuid by its id. :identifier (a token on Reference.identifier), :Type with an id
//	string     starts with the value, case, accents and runs of white space aside; any part of a HumanName or Address.
//	           :exact, :contains
//	uri        equal, but for a |version that only the resource has
//
// :missing=true|false works on every parameter; an element that is there in form of an extension alone is missing.
//
// Not supported, and refused: other parameters and modifiers (:in, :not-in, :above, :below, :of-type), parameters that shape
// results (_sort, _count, _include, _elements, ...), chains (patient.name), _has, quantities and composites, paths before the
// question mark, empty values, and prefixes on what is no date.
//
// # What _elements can say
//
// Type.element or element, root elements only; a choice is named without its type (value) or with it (valueQuantity). What R4
// does not let go stays (base.go), contained resources and the narrative do not, and the tag SUBSETTED says so. An element
// that a type does not have is not noticed.
//
// The package knows nothing of patients' compartments, windows of time (_since, _until) and consent; those are decided before
// a line gets here. Errors never quote what was sent.
package search
