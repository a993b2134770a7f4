package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"pdexbulk/api/answer"
	"pdexbulk/api/auth"
	"pdexbulk/api/capability"
	"pdexbulk/models"
)

// definitions serves the OperationDefinitions of what is served, to everybody, like the CapabilityStatement that names them.
type definitions struct {
	base string
	all  []capability.Definition
	log  *slog.Logger
}

func (d *definitions) addRoutes(api huma.API) {
	d.route(api, "/OperationDefinition/{id}", "read-operation-definition", "What an operation takes", d.read,
		&huma.Param{Name: "id", In: "path", Description: "id from a search", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
	d.route(api, "/OperationDefinition", "search-operation-definitions", "Which operations there are", d.search,
		&huma.Param{Name: "url", In: "query", Description: "canonical, as the CapabilityStatement names it", Schema: &huma.Schema{Type: huma.TypeString}},
		&huma.Param{Name: "name", In: "query", Description: "name", Schema: &huma.Schema{Type: huma.TypeString}})
}

func (d *definitions) route(api huma.API, path, id, summary string, get func(*http.Request) ([]byte, error), params ...*huma.Param) {
	op := &huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: auth.FHIRPath + path, Summary: summary, Parameters: params,
		Tags: []string{"FHIR"}, Security: []map[string][]string{}, // none
		Responses: map[string]*huma.Response{"default": {Description: "an error: OperationOutcome"}},
	}
	api.OpenAPI().AddOperation(op)
	api.Adapter().Handle(op, func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		body, err := get(r)
		if err != nil {
			answer.Outcome(w, r, d.log, err)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=300")
		answer.Write(w, http.StatusOK, answer.FHIRJSON, body)
	})
}

func (d *definitions) read(r *http.Request) ([]byte, error) {
	for _, one := range d.all {
		if one.ID == r.PathValue("id") {
			return json.Marshal(one)
		}
	}
	return nil, models.Errorf(models.KindNotFound, "no OperationDefinition has this id")
}

func (d *definitions) search(r *http.Request) ([]byte, error) {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, models.Errorf(models.KindInvalid, "the query is not percent-encoded as it should be")
	}
	for name, values := range given {
		switch name {
		case "url", "name":
			if len(values) > 1 {
				return nil, models.Errorf(models.KindInvalid, "this parameter may be given once only").At(name)
			}
		case "_format":
		default:
			return nil, models.Errorf(models.KindInvalid, "the search parameters are url and name")
		}
	}
	canonical, _, _ := strings.Cut(given.Get("url"), "|") // behind it is a version
	body, err := capability.SearchDefinitions(d.all, d.base+"/OperationDefinition", canonical, given.Get("name"))
	if err != nil {
		return nil, fmt.Errorf("search definitions: %w", err)
	}
	return body, nil
}
