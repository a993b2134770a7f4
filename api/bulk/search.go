package bulk

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

const (
	// pageGroups and maxGroups are how many Groups a page has when _count says nothing, and at most. A Group can be large.
	pageGroups = 10
	maxGroups  = 100
	// afterParameter is ours: where the page that a next link leads to goes on.
	afterParameter = "_after"
)

// What Groups say of themselves, see the activity that writes those of a match, and models/attribution.
const (
	matchCodes      = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PdexMultiMemberMatchResultCS"
	matchCodesCI    = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PDexMultiMemberMatchResultCS" // decision D-15
	matchCode       = "match"
	listCodes       = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PdexMemberAttributionCS"
	listCode        = "pdexprovidergroup"
	identifierURIs  = "urn:ietf:rfc:3986"
	identifierStart = "urn:uuid:"
)

// GroupSearch names the search parameters of Group with their types, for whoever describes this server.
var GroupSearch = []struct{ Name, Type, Definition string }{
	{"_id", "token", "http://hl7.org/fhir/SearchParameter/Resource-id"},
	{"_profile", "uri", "http://hl7.org/fhir/SearchParameter/Resource-profile"},
	{"identifier", "token", "http://hl7.org/fhir/SearchParameter/Group-identifier"},
	{"code", "token", "http://hl7.org/fhir/SearchParameter/Group-code"},
	{"characteristic", "token", "http://hl7.org/fhir/SearchParameter/Group-characteristic"},
	{"characteristic-value-reference", "reference", "http://hl7.org/fhir/us/davinci-pdex/SearchParameter/pdex-group-characteristic-value-reference"},
}

func groupParameters() []*huma.Param {
	var params []*huma.Param
	for _, p := range GroupSearch {
		params = append(params, queryParameter(p.Name, p.Type+" search parameter "+p.Definition))
	}
	return append(params, queryParameter("_count", fmt.Sprintf("Groups a page, at most %d; 0 asks for the total alone", maxGroups)))
}

// groupSearch is a search as it was understood.
type groupSearch struct {
	filter  store.GroupFilter
	count   int
	used    []parameter // what goes into the links of the answer
	ignored []string
}

// searchGroups answers the Groups of the caller that fit (PDex 2.2.0, 157, 160 and 161). The Bundle is written as it is read:
// a Group may have more members than fit in memory.
func (s *Service) searchGroups(w http.ResponseWriter, r *http.Request, c *auth.Caller) error {
	if !c.MaySearch("Group") {
		return models.Errorf(models.KindForbidden, "the token does not cover searching Group")
	}
	given, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	q := groupSearch{count: pageGroups, filter: store.GroupFilter{ClientID: c.ClientID, Organization: c.Organizations, At: s.now()}}
	if c.GroupID != "" {
		q.filter.IDs = append(q.filter.IDs, []string{c.GroupID})
	}
	if err := q.read(given, lenient(r.Header)); err != nil {
		return err
	}
	// One more than is shown says whether there is a next page.
	page, total, err := s.Store.Groups(r.Context(), q.filter, q.ask())
	if err != nil {
		return models.Errorf(models.KindUnavailable, "the Groups cannot be searched at the moment; try again").Wait(5).Because(err)
	}
	return s.writeBundle(w, r, q, page, total)
}

func (q *groupSearch) ask() int {
	if q.count == 0 {
		return 0
	}
	return q.count + 1
}

func (q *groupSearch) read(given []parameter, lenient bool) error {
	for _, g := range given {
		if len(q.used) > 50 {
			return models.Errorf(models.KindInvalid, "there are too many search parameters")
		}
		known, err := q.take(g)
		switch {
		case err != nil:
			return err.At(g.where)
		case known:
			q.used = append(q.used, g)
		case lenient:
			q.ignored = append(q.ignored, g.where)
		default:
			return models.Errorf(models.KindInvalid, "this search parameter is not supported").At(g.where)
		}
	}
	return nil
}

// take reads one parameter and reports whether it is a supported one. What parameters have in common holds for all of them;
// a list in one holds when any of it does.
func (q *groupSearch) take(g parameter) (known bool, err *models.Error) {
	values := strings.Split(g.value, ",")
	if len(values) > 100 {
		return true, models.Errorf(models.KindInvalid, "the list is too long")
	}
	if g.value == "" && slices.ContainsFunc(GroupSearch, func(p struct{ Name, Type, Definition string }) bool { return p.Name == g.name }) {
		return true, models.Errorf(models.KindInvalid, "a value is missing")
	}
	switch g.name {
	case "_id":
		q.filter.IDs = append(q.filter.IDs, validIDs(values))
	case "_profile":
		q.filter.Profiles = append(q.filter.Profiles, values)
	case "identifier":
		q.filter.Identifiers = append(q.filter.Identifiers, identifiers(values))
	case "code", "characteristic": // a Group has the same code in both
		q.filter.Profiles = append(q.filter.Profiles, codeProfiles(values))
	case "characteristic-value-reference", "characteristic-value-reference:Organization":
		// The Groups name their requester by an identifier and not by a reference to a resource of ours.
		q.filter.Requesters = append(q.filter.Requesters, nil)
	case "characteristic-value-reference:identifier":
		q.filter.Requesters = append(q.filter.Requesters, values)
	case "_count":
		n, perr := strconv.Atoi(g.value)
		if perr != nil || n < 0 {
			return true, models.Errorf(models.KindInvalid, "must be a number from 0")
		}
		q.count = min(n, maxGroups)
	case "_format":
		return true, oneOf(jsonFormats, g.value, "answers are application/fhir+json")
	case afterParameter:
		if !models.ValidID(g.value) {
			return true, models.Errorf(models.KindInvalid, "follow the next link of an earlier answer")
		}
		q.filter.Before = g.value
	default:
		return false, nil
	}
	return true, nil
}

func validIDs(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !models.ValidID(v) })
}

// identifiers reads the identifiers of Groups: each is identified by the URN of its id (decision D-24), attribution lists also by what
// they were given.
func identifiers(values []string) store.GroupIdentifiers {
	var out store.GroupIdentifiers
	for _, v := range values {
		system, value, split := strings.Cut(v, "|")
		switch {
		case !split && v != "":
			out.Values = append(out.Values, v)
		case split && value == "":
			out.Systems = append(out.Systems, system)
		case split:
			out.Exact = append(out.Exact, models.CanonicalOrganization(v))
		}
		if !split {
			system, value = identifierURIs, v
		}
		if id, ok := strings.CutPrefix(value, identifierStart); ok && system == identifierURIs {
			out.IDs = append(out.IDs, id)
		}
	}
	out.IDs = validIDs(out.IDs)
	return out
}

// codeProfiles turns codes into the profiles of the Groups that have them.
func codeProfiles(values []string) []string {
	var profiles []string
	for _, v := range values {
		system, code, split := strings.Cut(v, "|")
		if !split {
			system, code = "", v
		}
		is := func(want string, systems ...string) bool {
			return (!split || slices.Contains(systems, system)) && (code == want || split && code == "")
		}
		if is(matchCode, matchCodes, matchCodesCI) {
			profiles = append(profiles, models.MatchGroupProfile, models.ProviderGroupProfile)
		}
		if is(listCode, listCodes) {
			profiles = append(profiles, models.AttributionGroupProfile)
		}
	}
	return profiles
}

// writeBundle writes the searchset.
func (s *Service) writeBundle(w http.ResponseWriter, r *http.Request, q groupSearch, page []store.Group, total int64) error {
	more := len(page) > q.count
	if more {
		page = page[:q.count]
	}
	n := int(total)
	head := fhir.Bundle{Type: "searchset", Total: &n, Link: []fhir.BundleLink{{Relation: "self", URL: s.searchURL(q.used, "")}}}
	if more {
		head.Link = append(head.Link, fhir.BundleLink{Relation: "next", URL: s.searchURL(q.used, page[len(page)-1].ID)})
	}
	text, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	var first *groupForm
	if len(page) > 0 {
		if first, err = s.openGroup(r.Context(), &page[0]); err != nil {
			return err
		}
		defer first.close()
	}
	h := w.Header()
	h.Set("Content-Type", answer.FHIRJSON)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	out := &bundleWriter{w: w, open: ",\"entry\":["}
	out.text(strings.TrimSuffix(string(text), "}"))
	for i, g := range page {
		out.entry(s.Base+"/Group/"+g.ID, func() error {
			if i == 0 {
				return first.writeTo(w)
			}
			next, err := s.openGroup(r.Context(), &g)
			if err != nil {
				return err
			}
			defer next.close()
			return next.writeTo(w)
		})
	}
	if len(q.ignored) > 0 {
		out.outcome(q.ignored)
	}
	out.end()
	if out.err != nil && r.Context().Err() == nil {
		s.Log.ErrorContext(r.Context(), "a search result could not be written to its end", "error", answer.Trail(out.err))
	}
	if out.err != nil {
		panic(http.ErrAbortHandler) // the client must see that it is cut short
	}
	return nil
}

// searchURL is the search as it was understood, from the given Group on.
func (s *Service) searchURL(used []parameter, after string) string {
	var parts []string
	for _, p := range used {
		if p.name != afterParameter || after == "" {
			parts = append(parts, url.QueryEscape(p.name)+"="+url.QueryEscape(p.value))
		}
	}
	if after != "" {
		parts = append(parts, afterParameter+"="+after)
	}
	if len(parts) == 0 {
		return s.Base + "/Group"
	}
	return s.Base + "/Group?" + strings.Join(parts, "&")
}

// bundleWriter writes the entries of a Bundle one by one.
type bundleWriter struct {
	w    io.Writer
	open string // what stands before the next entry
	any  bool
	err  error
}

func (b *bundleWriter) text(s string) {
	if b.err == nil {
		_, b.err = io.WriteString(b.w, s)
	}
}

func (b *bundleWriter) entry(fullURL string, resource func() error) {
	b.text(b.open + `{"fullUrl":"` + fullURL + `","resource":`)
	if b.err == nil {
		b.err = resource()
	}
	b.text(`,"search":{"mode":"match"}}`)
	b.open, b.any = ",", true
}

// outcome tells which parameters were left out of account.
func (b *bundleWriter) outcome(ignored []string) {
	var issues []fhir.Issue
	for _, name := range ignored {
		issue := fhir.NewIssue(fhir.SeverityWarning, fhir.IssueNotSupported, "a search parameter is not supported and was ignored")
		if name != "" {
			issue.Expression = []string{name}
		}
		issues = append(issues, issue)
	}
	text, err := json.Marshal(fhir.Outcome(issues...))
	if err != nil && b.err == nil {
		b.err = err
	}
	b.text(b.open + `{"resource":` + string(text) + `,"search":{"mode":"outcome"}}`)
	b.open, b.any = ",", true
}

func (b *bundleWriter) end() {
	if b.any {
		b.text("]")
	}
	b.text("}")
}
