package conformance

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"

	"pdexbulk/dev/client"
	"pdexbulk/models"
)

// The codes of the Groups that a match answers with.
const (
	codeMatched     = "match"
	codeNoMatch     = "nomatch"
	codeConstrained = "consentconstraint"
)

// payer is a client of its own for the check, of the payer that the requests' consents name.
func (t *T) payer() *client.Client {
	return t.register("check-payer-"+strings.ToLower(t.id), models.ClientPayer, allData, matching)
}

// postMatch sends a match request.
func (t *T) postMatch(c *client.Client, request []byte) answer {
	return t.call(c, http.MethodPost, "Group/$bulk-member-match", posting(), request)
}

// matchResult is what a match came to.
type matchResult struct{ *export }

// match runs a match to its end.
func (t *T) match(c *client.Client, request []byte) matchResult {
	return matchResult{t.finish(c, t.start(c, http.MethodPost, "Group/$bulk-member-match", nil, nil, request))}
}

// matched returns the Group of matched members.
func (r matchResult) matched(t *T) gjson.Result {
	g := r.group(codeMatched)
	t.check(g.Exists(), "there is no Group of matched members")
	return g
}

// group returns the Group with a code.
func (r matchResult) group(code string) gjson.Result {
	for _, g := range r.lines["Group"] {
		if g.Get("code.coding.0.code").Str == code {
			return g
		}
	}
	return gjson.Result{}
}

// bucket says in which Groups a submitted Patient is.
func (r matchResult) bucket(submitted string) []string {
	var out []string
	for _, g := range r.lines["Group"] {
		for _, m := range g.Get("member").Array() {
			if contained(g, m).Get("id").Str == submitted {
				out = append(out, g.Get("code.coding.0.code").Str)
			}
		}
	}
	return out
}

// contained returns the contained Patient that a member's match parameters point to.
func contained(group, member gjson.Result) gjson.Result {
	ref := ""
	for _, e := range member.Get("entity.extension").Array() {
		if strings.HasSuffix(e.Get("url").Str, "base-ext-match-parameters") {
			ref = strings.TrimPrefix(e.Get("valueReference.reference").Str, "#")
		}
	}
	for _, c := range group.Get("contained").Array() {
		if c.Get("resourceType").Str == "Patient" && c.Get("id").Str == ref {
			return c
		}
	}
	return gjson.Result{}
}

// doc is JSON that is being changed.
type doc = map[string]any

// change changes a match request.
func change(request []byte, fn func(bundles []any) []any) []byte {
	var parameters doc
	if err := json.Unmarshal(request, &parameters); err != nil {
		panic(verdict{Fail, err.Error()})
	}
	parameters["parameter"] = fn(parameters["parameter"].([]any))
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(parameters); err != nil {
		panic(verdict{Fail, err.Error()})
	}
	return out.Bytes()
}

// last changes the parts of the last MemberBundle of a request.
func last(request []byte, fn func(parts []any) []any) []byte {
	return change(request, func(bundles []any) []any {
		b := bundles[len(bundles)-1].(doc)
		b["part"] = fn(b["part"].([]any))
		return bundles
	})
}

func dropPart(request []byte, name string) []byte {
	return last(request, func(parts []any) []any {
		var out []any
		for _, p := range parts {
			if p.(doc)["name"] != name {
				out = append(out, p)
			}
		}
		return out
	})
}

func doublePart(request []byte, name string) []byte {
	return last(request, func(parts []any) []any {
		for _, p := range parts {
			if p.(doc)["name"] == name {
				return append(parts, p)
			}
		}
		return parts
	})
}

// resource returns a part's resource of a MemberBundle.
func resource(bundle any, name string) doc {
	for _, p := range bundle.(doc)["part"].([]any) {
		if p.(doc)["name"] == name {
			return p.(doc)["resource"].(doc)
		}
	}
	return nil
}

// clone copies JSON.
func clone(v any) any {
	var out any
	if err := json.Unmarshal([]byte(text(v)), &out); err != nil {
		panic(verdict{Fail, err.Error()})
	}
	return out
}

// text is a value as JSON.
func text(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(verdict{Fail, err.Error()})
	}
	return string(out)
}
