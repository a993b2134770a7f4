package auth

import (
	"slices"
	"strings"

	"pdexbulk/models"
)

// access is what a resource scope lets a client do. Delete is never granted, so it has no bit.
type access uint8

const (
	canRead   access = 1 << iota // r
	canSearch                    // s
	canCreate                    // c; of Consent alone, which members' portals send
	canUpdate                    // u; of Group alone: attribution lists, by the operations that change them
	canBoth   = canRead | canSearch
)

// scope is one scope the server understands: an operation's, or a resource's.
type scope struct {
	text      string
	operation models.Operation // "" for a resource scope
	resource  string           // a type name or "*"
	access    access
	v1        bool   // spelled .read, .write or .*
	query     string // the part behind the question mark
}

const (
	pdex     = "http://hl7.org/fhir/us/davinci-pdex/"
	atr      = "http://hl7.org/fhir/us/davinci-atr/OperationDefinition/"
	groupTag = "system.Group.u?code=" + pdex + "ValueSet/PDexMultiMemberMatchResultVS|"

	opProviderMemberMatch models.Operation = "provider-member-match"
)

// operationScopes are the spellings of the two match operations: the canonical URLs of PDex 2.2.0, their lower-case
// forms of older and uncorrected pages, and the Group scopes as the pages print them. Those of Da Vinci ATR 2.1.0 change
// attribution lists.
var operationScopes = map[string]models.Operation{
	pdex + "OperationDefinition/BulkMemberMatch":       models.OpBulkMemberMatch,
	pdex + "OperationDefinition/bulk-member-match":     models.OpBulkMemberMatch,
	pdex + "OperationDefinition/ProviderMemberMatch":   opProviderMemberMatch,
	pdex + "OperationDefinition/provider-member-match": opProviderMemberMatch,

	groupTag + "match":             models.OpBulkMemberMatch,
	groupTag + "pdexprovidergroup": opProviderMemberMatch,

	atr + "member-add":    models.OpMemberAdd,
	atr + "member-remove": models.OpMemberRemove,
}

// Scopes is an ordered set of scopes the server understands.
type Scopes struct{ list []scope }

// ParseScopes reads a space-separated list (RFC 6749 section 3.3). It understands system scopes of SMART v2
// (system/Patient.rs, letters in the order cruds) and v1 (system/*.read, .write, .*), and the PDex operation scopes. What
// it does not understand it leaves out, as a server may; it also keeps no scope that could never grant anything. A scope
// with a ?query is understood and grants nothing, since the server does not filter by scope.
func ParseScopes(text string) Scopes {
	var out Scopes
	seen := map[string]bool{}
	for one := range strings.SplitSeq(text, " ") {
		if sc, ok := parseScope(one); ok && sc.grantable() && !seen[sc.text] {
			seen[sc.text] = true
			out.list = append(out.list, sc)
		}
	}
	return out
}

// CheckScopes says whether every scope of a registration is one the server understands and could grant. Returns
// KindInvalid.
func CheckScopes(list []string) error {
	for _, one := range list {
		sc, ok := parseScope(one)
		if !ok {
			return models.Errorf(models.KindInvalid, "a scope is not understood").At("scopes")
		}
		if !sc.grantable() {
			return models.Errorf(models.KindInvalid, "a scope only writes or has a query, and would grant nothing").At("scopes")
		}
	}
	return nil
}

// grantable reports whether sc can let anybody do anything.
func (sc scope) grantable() bool { return sc.operation != "" || (sc.access != 0 && sc.query == "") }

func parseScope(text string) (scope, bool) {
	if op, ok := operationScopes[text]; ok {
		return scope{text: text, operation: op}, true
	}
	rest, ok := strings.CutPrefix(text, "system/")
	if !ok {
		return scope{}, false
	}
	rest, query, _ := strings.Cut(rest, "?")
	resource, actions, ok := strings.Cut(rest, ".")
	if !ok || !validResource(resource) {
		return scope{}, false
	}
	sc := scope{text: strings.TrimSuffix(text, "?"), resource: resource, query: query}
	switch actions {
	case "read", "*":
		sc.access, sc.v1 = canBoth, true
	case "write": // of Groups, or of whatever can be written
		sc.v1 = true
		if resource == "Group" || resource == "*" {
			sc.access = canUpdate
		}
	default:
		sc.access, ok = parseActions(actions)
		if resource != "Consent" {
			sc.access &^= canCreate
		}
		if resource != "Group" {
			sc.access &^= canUpdate
		}
	}
	return sc, ok
}

// parseActions reads a non-empty subset of cruds, each letter once and in that order.
func parseActions(actions string) (a access, ok bool) {
	rest := "cruds"
	for _, letter := range []byte(actions) {
		i := strings.IndexByte(rest, letter)
		if i < 0 {
			return 0, false
		}
		rest = rest[i+1:]
		switch letter {
		case 'c':
			a |= canCreate
		case 'r':
			a |= canRead
		case 'u':
			a |= canUpdate
		case 's':
			a |= canSearch
		}
	}
	return a, actions != ""
}

// validResource reports whether name has the shape of a resource type or is the wildcard.
func validResource(name string) bool {
	if name == "*" {
		return true
	}
	if len(name) < 2 || len(name) > 64 || name[0] < 'A' || name[0] > 'Z' {
		return false
	}
	for _, b := range []byte(name) {
		if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') {
			return false
		}
	}
	return true
}

// resourceScope spells a scope; the v1 spelling is used where it was asked for and says the same.
func resourceScope(resource string, a access, v1 bool) scope {
	sc := scope{resource: resource, access: a, v1: v1 && (a == canBoth || a == canUpdate)}
	if sc.v1 {
		sc.text = "system/" + resource + ".read"
		if a == canUpdate {
			sc.text = "system/" + resource + ".write"
		}
		return sc
	}
	sc.text = "system/" + resource + "."
	for _, right := range []struct {
		access
		letter string
	}{{canCreate, "c"}, {canRead, "r"}, {canUpdate, "u"}, {canSearch, "s"}} {
		if a&right.access != 0 {
			sc.text += right.letter
		}
	}
	return sc
}

// String is the list as it goes into a token and a token answer.
func (s Scopes) String() string {
	texts := make([]string, len(s.list))
	for i, sc := range s.list {
		texts[i] = sc.text
	}
	return strings.Join(texts, " ")
}

// Empty reports whether nothing is granted.
func (s Scopes) Empty() bool { return len(s.list) == 0 }

// Within narrows what was asked for to what was registered. Only types that the server serves survive, a wildcard asked
// for by a client registered for some types becomes those types, and writes but to create a Consent and to update Groups are gone.
// Nothing is ever added.
func (s Scopes) Within(registered Scopes, served map[string]bool) Scopes {
	var out Scopes
	seen := map[string]bool{}
	add := func(sc scope) {
		if !seen[sc.text] {
			seen[sc.text] = true
			out.list = append(out.list, sc)
		}
	}
	for _, asked := range s.list {
		if asked.operation != "" {
			if registered.hasOperation(asked.operation) {
				add(asked)
			}
			continue
		}
		for _, sc := range asked.meet(registered, served) {
			add(sc)
		}
	}
	return out
}

// meet returns the resource scopes that both asked and registered allow, one a type, in the order of the registration.
func (sc scope) meet(registered Scopes, served map[string]bool) []scope {
	allowed := map[string]access{}
	var order []string
	for _, reg := range registered.list {
		resource := reg.resource
		switch {
		case reg.operation != "":
			continue
		case resource == "*":
			resource = sc.resource
		case sc.resource != "*" && sc.resource != resource:
			continue
		}
		both := sc.access & reg.access
		if both == 0 || (resource != "*" && !served[resource]) {
			continue
		}
		if allowed[resource] == 0 {
			order = append(order, resource)
		}
		allowed[resource] |= both
	}
	var out []scope
	for _, resource := range order {
		a := allowed[resource]
		if resource != "*" && allowed["*"]&a == a {
			continue // the wildcard says it already
		}
		out = append(out, resourceScope(resource, a, sc.v1))
	}
	return out
}

// mayOn reports whether the scopes together give the wanted access to a type. A type of "*" asks about all types.
func (s Scopes) mayOn(resourceType string, want access) bool {
	var have access
	for _, sc := range s.list {
		if sc.operation == "" && (sc.resource == "*" || sc.resource == resourceType) {
			have |= sc.access
		}
	}
	return have&want == want
}

func (s Scopes) hasOperation(op models.Operation) bool {
	return op != "" && slices.ContainsFunc(s.list, func(sc scope) bool { return sc.operation == op })
}

// names reports whether a scope lets that type be read by name, not by wildcard.
func (s Scopes) names(resourceType string) bool {
	return slices.ContainsFunc(s.list, func(sc scope) bool {
		return sc.operation == "" && sc.resource == resourceType && sc.access&canBoth != 0
	})
}
